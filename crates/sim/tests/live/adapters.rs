//! Adapters: loaded, listed, used, unloaded; and what is said when that makes no sense.

use crate::client::{config, get, post, start};
use crate::shape::Captured;

const LOAD: &str = "/v1/load_lora_adapter";
const UNLOAD: &str = "/v1/unload_lora_adapter";

#[tokio::test]
async fn adapters_are_loaded_and_unloaded_in_the_captured_words() {
    let mut config = config();
    config.engine.max_loras = 2;
    let server = start(config).await;
    let chat = r#"{"lora_name":"chat-lora","lora_path":"/adapters/chat-lora"}"#;
    let table = [
        (LOAD, chat, "lora-load.http"),
        (LOAD, chat, "lora-load-again.http"),
        (LOAD, r#"{"lora_name":"missing","lora_path":"/nonexistent"}"#, "lora-load-missing.http"),
        (LOAD, r#"{"lora_name":"x"}"#, "lora-load-no-path.http"),
        (LOAD, r#"{"lora_name":"","lora_path":""}"#, "lora-load-empty-name.http"),
        (UNLOAD, r#"{"lora_name":"nope"}"#, "lora-unload-missing.http"),
        (UNLOAD, r#"{"lora_name":"chat-lora"}"#, "lora-unload.http"),
    ];
    for (path, body, file) in table {
        let (answer, captured) = (post(&server, path, body).await, Captured::read(file));
        assert_eq!(answer.status.as_u16(), captured.status, "{file}");
        assert_eq!(answer.body, captured.body.trim_end(), "{file}");
        let content_type = captured.fields.iter().find(|(name, _)| name == "content-type");
        assert_eq!(answer.header("content-type"), content_type.map_or("", |(_, value)| value), "{file}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_adapter_is_listed_and_answers_while_it_is_loaded() {
    let mut config = config();
    config.engine.max_loras = 2;
    let server = start(config).await;
    let ask = r#"{"model":"chat-lora","prompt":"x","max_tokens":2}"#;
    assert_eq!(post(&server, "/v1/completions", ask).await.status, 404);
    post(&server, LOAD, r#"{"lora_name":"chat-lora","lora_path":"/adapters/chat"}"#).await;
    let models = get(&server, "/v1/models").await.json();
    assert_eq!(models["data"][1]["id"], "chat-lora");
    assert_eq!(models["data"][1]["parent"], "tiny");
    assert_eq!(models["data"][1]["root"], "/adapters/chat");
    let answer = post(&server, "/v1/completions", ask).await;
    assert_eq!(answer.json()["model"], "chat-lora");
    post(&server, UNLOAD, r#"{"lora_name":"chat-lora"}"#).await;
    assert_eq!(post(&server, "/v1/completions", ask).await.status, 404);
    assert_eq!(get(&server, "/v1/models").await.json()["data"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_adapters_has_no_such_endpoint() {
    let server = start(config()).await;
    assert_eq!(post(&server, LOAD, r#"{"lora_name":"a","lora_path":"/a"}"#).await.status, 404);
    server.stop().await;
}
