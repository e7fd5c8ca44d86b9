//! Every kind of answer beside the one that a real vLLM 0.32 gave to the same request.

use http::Method;
use roadstead_sim::Server;

use crate::client::{Answer, config, get, post, request, send, start, stream};
use crate::shape::{Captured, shape};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

async fn lora_server() -> Server {
    let mut config = config();
    config.loras = vec!["sql-lora".to_owned()];
    config.engine.max_loras = 2;
    start(config).await
}

fn assert_same_head(answer: &Answer, captured: &Captured, file: &str) {
    assert_eq!(answer.status.as_u16(), captured.status, "{file}");
    let mut ours: Vec<&str> = answer.head.keys().map(http::HeaderName::as_str).collect();
    let mut theirs: Vec<&str> = captured.fields.iter().map(|(name, _)| name.as_str()).collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs, "{file}");
    for (name, value) in &captured.fields {
        if ["server", "content-type", "vary", "allow"].contains(&name.as_str()) {
            assert_eq!(answer.header(name), value, "{file}");
        }
    }
}

#[tokio::test]
async fn whole_answers_have_the_captured_shape() {
    let server = lora_server().await;
    let table = [
        (
            CHAT,
            r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":6,"ignore_eos":true}"#,
            "chat.http",
        ),
        (
            CHAT,
            r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":2,"n":2,"ignore_eos":true}"#,
            "chat-n2.http",
        ),
        (
            COMPLETIONS,
            r#"{"model":"tiny","prompt":"hello","max_tokens":40,"ignore_eos":true}"#,
            "completion.http",
        ),
        (
            COMPLETIONS,
            r#"{"model":"tiny","prompt":["hello","a b c d e"],"max_tokens":2,"n":2,"ignore_eos":true}"#,
            "completion-array.http",
        ),
        (
            COMPLETIONS,
            r#"{"model":"tiny","prompt":[1,2,3],"max_tokens":2,"ignore_eos":true}"#,
            "completion-ids.http",
        ),
        (
            "/v1/responses",
            r#"{"model":"tiny","input":"hi","max_output_tokens":3,"ignore_eos":true}"#,
            "responses.http",
        ),
        (
            "/v1/messages",
            r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":3,"ignore_eos":true}"#,
            "messages.http",
        ),
        (
            "/v1/messages",
            r#"{"model":"nope","messages":[{"role":"user","content":"hi"}],"max_tokens":3}"#,
            "messages-bad.http",
        ),
        ("/tokenize", r#"{"model":"tiny","prompt":"hello"}"#, "tokenize.http"),
    ];
    for (path, body, file) in table {
        let (answer, captured) = (post(&server, path, body).await, Captured::read(file));
        assert_same_head(&answer, &captured, file);
        assert_eq!(shape(&answer.body), shape(&captured.body), "{file}");
    }
    let models =
        std::fs::read_to_string(format!("{}/tests/fixtures/models.json", env!("CARGO_MANIFEST_DIR")));
    assert_eq!(shape(&get(&server, "/v1/models").await.body), shape(models.unwrap().trim_end()));
    let version = get(&server, "/version").await;
    assert_eq!(version.body, Captured::read("version.http").body);
    server.stop().await;
}

#[tokio::test]
async fn streams_have_the_captured_events() {
    let server = lora_server().await;
    let table = [
        (
            CHAT,
            r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":6,"stream":true,"ignore_eos":true,"stream_options":{"include_usage":true}}"#,
            "chat-stream-usage.http",
        ),
        (
            CHAT,
            r#"{"model":"sql-lora","messages":[{"role":"user","content":"hi"}],"max_tokens":6,"stream":true,"ignore_eos":true}"#,
            "chat-stream-lora.http",
        ),
        (
            COMPLETIONS,
            r#"{"model":"tiny","prompt":"hello","max_tokens":3,"stream":true,"ignore_eos":true,"stream_options":{"include_usage":true}}"#,
            "completion-stream.http",
        ),
        (
            COMPLETIONS,
            r#"{"model":"tiny","prompt":"hello","max_tokens":2,"stream":true,"ignore_eos":true}"#,
            "completion-stream-plain.http",
        ),
        (
            "/v1/messages",
            r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":3,"stream":true,"ignore_eos":true}"#,
            "messages-stream.http",
        ),
    ];
    for (path, body, file) in table {
        let captured = Captured::read(file);
        let open = stream(&server, path, body).await;
        assert_eq!(open.status.as_u16(), captured.status, "{file}");
        assert_eq!(open.head["content-type"], "text/event-stream; charset=utf-8", "{file}");
        let events = open.rest().await.unwrap();
        let ours: Vec<String> = events.iter().map(|event| shape(event)).collect();
        let theirs: Vec<String> = captured.events().into_iter().map(shape).collect();
        assert_eq!(ours, theirs, "{file}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_streamed_response_has_the_captured_events_but_one_delta_more() {
    let server = start(config()).await;
    let body = r#"{"model":"tiny","input":"hi","max_output_tokens":3,"stream":true,"ignore_eos":true}"#;
    let events = stream(&server, "/v1/responses", body).await.rest().await.unwrap();
    let captured = Captured::read("responses-stream.http");
    // There three tokens came in two events, because two made one character.
    let mut theirs: Vec<String> = captured.events().into_iter().map(shape).collect();
    theirs.insert(5, theirs[5].clone());
    let ours: Vec<String> = events.iter().map(|event| shape(event)).collect();
    assert_eq!(ours, theirs);
    for (number, event) in events.iter().enumerate() {
        assert!(event.contains(&format!("\"sequence_number\":{number},")), "{event}");
    }
    server.stop().await;
}

#[tokio::test]
async fn several_answers_to_one_request_stream_under_their_index() {
    let server = start(config()).await;
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":2,"n":2,"stream":true,"ignore_eos":true}"#;
    let events = stream(&server, CHAT, body).await.rest().await.unwrap();
    let mut ours: Vec<String> = events.iter().map(|event| shape(event)).collect();
    let captured = Captured::read("chat-stream-n2.http");
    let mut theirs: Vec<String> = captured.events().into_iter().map(shape).collect();
    assert_eq!(ours[..2], theirs[..2], "the role events come first");
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
    let of_second = events.iter().filter(|event| event.contains("\"index\":1")).count();
    assert_eq!(of_second, 3);
    server.stop().await;
}

#[tokio::test]
async fn a_seed_in_the_request_fixes_the_answer() {
    let server = start(config()).await;
    let body = r#"{"prompt":"hello","max_tokens":30,"seed":7}"#;
    let text = |answer: Answer| answer.json()["choices"][0]["text"].clone();
    let (first, again) =
        (text(post(&server, COMPLETIONS, body).await), text(post(&server, COMPLETIONS, body).await));
    assert_eq!(first, again);
    let other = text(post(&server, COMPLETIONS, r#"{"prompt":"hello","max_tokens":30,"seed":8}"#).await);
    assert_ne!(first, other);
    server.stop().await;
}

#[tokio::test]
async fn lengths_are_drawn_between_the_limits_unless_the_end_is_ignored() {
    let mut config = config();
    config.mean_output_tokens = 20;
    let server = start(config).await;
    let mut reasons = Vec::new();
    for seed in 0..40 {
        let body = format!(r#"{{"prompt":"hello","max_tokens":30,"min_tokens":5,"seed":{seed}}}"#);
        let answer = post(&server, COMPLETIONS, &body).await.json();
        let tokens = answer["usage"]["completion_tokens"].as_u64().unwrap();
        assert!((5..=30).contains(&tokens), "{tokens}");
        let reason = answer["choices"][0]["finish_reason"].as_str().unwrap().to_owned();
        assert_eq!(reason == "length", tokens == 30, "{tokens} {reason}");
        reasons.push(reason);
    }
    assert!(reasons.iter().any(|reason| reason == "stop") && reasons.iter().any(|reason| reason == "length"));
    server.stop().await;
}

#[tokio::test]
async fn the_load_is_told_to_those_who_ask() {
    let server = start(config()).await;
    let body = r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":2}"#;
    for (asked, path, file) in
        [("JSON", COMPLETIONS, "completion-orca.http"), ("TEXT", CHAT, "chat-orca-text.http")]
    {
        let fields = [("content-type", "application/json"), ("endpoint-load-metrics-format", asked)];
        let body = if path == CHAT { body } else { r#"{"prompt":"hi","max_tokens":2}"# };
        let answer = send(server.local_addr(), request(Method::POST, path, &fields, body)).await.unwrap();
        let captured = Captured::read(file);
        assert_same_head(&answer, &captured, file);
        let told = captured.fields.iter().find(|(name, _)| name == "endpoint-load-metrics").unwrap();
        assert_eq!(answer.header("endpoint-load-metrics"), told.1);
    }
    server.stop().await;
}

#[tokio::test]
async fn embeddings_are_numbers_or_base64() {
    let server = start(config()).await;
    let body = r#"{"model":"tiny","input":["hi","ho"],"dimensions":8}"#;
    let answer = post(&server, "/v1/embeddings", body).await.json();
    assert_eq!(answer["data"][1]["embedding"].as_array().unwrap().len(), 8);
    assert_eq!(answer["usage"]["prompt_tokens"], 2);
    let body = r#"{"model":"tiny","input":"hi","dimensions":3,"encoding_format":"base64"}"#;
    let answer = post(&server, "/v1/embeddings", body).await.json();
    assert_eq!(answer["data"][0]["embedding"].as_str().unwrap().len(), 16);
    server.stop().await;
}

#[tokio::test]
async fn token_ids_become_their_text_again() {
    let server = start(config()).await;
    let ids = post(&server, "/tokenize", r#"{"prompt":"some words.."}"#).await.json()["tokens"].to_string();
    let answer = post(&server, "/detokenize", &format!("{{\"tokens\":{ids}}}")).await;
    assert_eq!(answer.json()["prompt"], "some words..");
    server.stop().await;
}
