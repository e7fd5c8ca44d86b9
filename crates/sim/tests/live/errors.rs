//! What a real vLLM 0.32 says to bad requests, word for word.

use http::Method;

use crate::client::{config, request, send, start};
use crate::shape::Captured;

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[tokio::test]
async fn bad_requests_get_the_captured_words() {
    let server = start(config()).await;
    let ids = |count: usize, max: u32| {
        let ids = vec!["5"; count].join(",");
        format!("{{\"model\":\"tiny\",\"prompt\":[{ids}],\"max_tokens\":{max}}}").into_bytes()
    };
    let text = |body: &str| body.as_bytes().to_vec();
    let deep = format!("{{\"prompt\":{}{}}}", "[".repeat(3000), "]".repeat(3000)).into_bytes();
    let long = format!("{{\"prompt\":\"{}\",\"max_tokens\":2}}", "word".repeat(5000)).into_bytes();
    let chat = |more: &str| {
        format!("{{\"model\":\"tiny\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]{more}}}")
            .into_bytes()
    };
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        (CHAT, text("{bad json"), "error-bad-json.http"),
        (COMPLETIONS, text("hello"), "error-not-json.http"),
        (COMPLETIONS, text(r#"{"model":"tiny""#), "error-truncated-json.http"),
        (COMPLETIONS, text("[1,2]"), "error-array.http"),
        (COMPLETIONS, text(""), "error-empty.http"),
        (COMPLETIONS, b"{\"model\":\"tiny\",\"prompt\":\"\xff\xfe\"}".to_vec(), "error-bad-utf8.http"),
        (COMPLETIONS, deep, "error-deep-nesting.http"),
        (COMPLETIONS, text(r#"{"model":"tiny"}"#), "error-missing-prompt.http"),
        (COMPLETIONS, text(r#"{"model":"tiny","prompt":""}"#), "error-empty-prompt.http"),
        (COMPLETIONS, text(r#"{"model":"tiny","prompt":[]}"#), "error-no-prompts.http"),
        (COMPLETIONS, text(r#"{"model":5,"prompt":"x"}"#), "error-model-not-text.http"),
        (CHAT, text(r#"{"model":"tiny"}"#), "error-missing-messages.http"),
        (CHAT, text(r#"{"model":"tiny","messages":[]}"#), "error-no-messages.http"),
        (CHAT, text(r#"{"model":"tiny","messages":[],"max_tokens":"x"}"#), "error-max-tokens-text.http"),
        (CHAT, text(r#"{"model":"nope","messages":[]}"#), "error-unknown-model.http"),
        (CHAT, chat(r#","max_tokens":99999"#), "error-max-tokens-too-large.http"),
        (CHAT, chat(r#","n":0"#), "error-n-zero.http"),
        (CHAT, chat(r#","stream_options":{"include_usage":true}"#), "error-stream-options.http"),
        (COMPLETIONS, text(r#"{"prompt":"x","max_tokens":0}"#), "error-max-tokens-zero.http"),
        (COMPLETIONS, text(r#"{"prompt":"x","max_tokens":-1}"#), "error-max-tokens-negative.http"),
        (COMPLETIONS, text(r#"{"prompt":"x","max_tokens":1,"min_tokens":5}"#), "error-min-tokens.http"),
        (COMPLETIONS, ids(4096, 200), "error-no-room-for-output.http"),
        (COMPLETIONS, ids(4100, 4), "error-too-long-ids.http"),
        (COMPLETIONS, long, "error-too-long-text.http"),
        ("/v1/messages", text(r#"{"model":"tiny","messages":[]}"#), "error-missing-max-tokens.http"),
        ("/nope", text("{}"), "error-not-found.http"),
    ];
    for (path, body, file) in table {
        let answer = send(server.local_addr(), request(Method::POST, path, JSON, body)).await.unwrap();
        let captured = Captured::read(file);
        assert_eq!(answer.status.as_u16(), captured.status, "{file}: {}", answer.body);
        assert_eq!(answer.body, captured.body.trim_end(), "{file}");
        assert_eq!(answer.header("content-type"), "application/json", "{file}");
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_heads_get_the_captured_words() {
    let server = start(config()).await;
    let body = r#"{"model":"tiny"}"#;
    let table = [
        (
            request(Method::POST, COMPLETIONS, &[("content-type", "text/plain")], body),
            "error-content-type.http",
        ),
        (request(Method::GET, COMPLETIONS, &[], ""), "error-wrong-method.http"),
    ];
    for (request, file) in table {
        let answer = send(server.local_addr(), request).await.unwrap();
        let captured = Captured::read(file);
        assert_eq!(answer.status.as_u16(), captured.status, "{file}");
        assert_eq!(answer.body, captured.body.trim_end(), "{file}");
        let allowed = captured.fields.iter().find(|(name, _)| name == "allow").map_or("", |(_, value)| value);
        assert_eq!(answer.header("allow"), allowed, "{file}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_limit_beyond_the_room_that_the_prompt_leaves_is_lowered_to_it() {
    let server = start(config()).await;
    let ids = vec!["5"; 4090].join(",");
    let body = format!("{{\"prompt\":[{ids}],\"max_tokens\":200,\"ignore_eos\":true}}");
    let answer = send(server.local_addr(), request(Method::POST, COMPLETIONS, JSON, body)).await.unwrap();
    assert_eq!(answer.json()["usage"]["completion_tokens"], 6);
    server.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses_with_503() {
    let mut config = config();
    config.engine.max_num_seqs = 1;
    config.engine.max_queued_requests = Some(1);
    let server = start(config).await;
    let body = r#"{"prompt":"x","max_tokens":4000,"stream":true,"ignore_eos":true}"#;
    let mut running = crate::client::stream(&server, COMPLETIONS, body).await;
    running.next().await.unwrap();
    let _waiting = crate::client::stream(&server, COMPLETIONS, body).await;
    let refused = send(server.local_addr(), request(Method::POST, COMPLETIONS, JSON, body)).await.unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"]["code"], 503);
    let series = "vllm:admission_rejections_total{model_name=\"tiny\",reason=\"max_num_queued_reqs\"}";
    assert_eq!(crate::client::metric(&server, series).await, 1.0);
    server.abort();
}
