//! Clients that send what makes no sense. Each gets a clear error, and the next request is served.

use std::time::Duration;

use roadstead_picker::Limits;
use roadstead_proxy::ProxyLimits;

use crate::support::client::Got;
use crate::support::*;

/// What `request` gets on a connection of its own; afterwards another client is served and nothing is left.
async fn refused(request: &[u8]) -> Got {
    refused_within(request, ProxyLimits::default()).await
}

async fn refused_within(request: &[u8], limits: ProxyLimits) -> Got {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::limited(&[endpoint.addr], limits, Limits::default());
    let mut client = gateway.client().await;
    client.send_bytes(request).await;
    let got = client.answer().await;
    assert_eq!(endpoint.seen().len(), 0, "the endpoint saw a bad request");
    assert_eq!(gateway.client().await.ask(&completion("")).await.status, 200);
    gateway.settled().await;
    got
}

fn small() -> ProxyLimits {
    ProxyLimits { body_bytes_max: 1000, body_timeout: Duration::from_millis(100), ..ProxyLimits::default() }
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused_with_the_reason() {
    let deep = format!(r#"{{"model":"m","prompt":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (body, message, param) in [
        ("hello", "expected a value at byte 0", None),
        ("", "the body is empty", None),
        ("[]", "must be a JSON object", None),
        (r#"{"model":"m","prompt":"#, "ends too early", None),
        (r#"{"model":{"x":1}}"#, "`model` must be a string", Some("model")),
        (&deep, "nested deeper than 128 levels", None),
    ] {
        let got = refused(post("/v1/chat/completions", body).as_bytes()).await;
        assert_eq!((got.status, got.error("type")), (400, "invalid_request_error".into()), "{got:?}");
        assert!(got.error("message").as_str().unwrap().contains(message), "{got:?}");
        assert_eq!(got.error("param").as_str(), param);
        assert_eq!(got.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn invalid_utf8_is_refused() {
    let body = b"{\"model\":\"m\",\"prompt\":\"\xff\xfe\"}";
    let head = format!("POST /v1/completions HTTP/1.1\r\nhost: gw\r\ncontent-length: {}\r\n\r\n", body.len());
    let got = refused(&[head.as_bytes(), body].concat()).await;
    assert_eq!(got.status, 400);
    assert!(got.error("message").as_str().unwrap().contains("UTF-8"), "{got:?}");
}

#[tokio::test]
async fn a_request_without_a_model_is_for_the_endpoint_to_judge() {
    let endpoint = Endpoint::answering(answer("400 Bad Request", r#"{"error":{"message":"its own words"}}"#));
    let gateway = Gateway::before(&[&endpoint]);
    let got = gateway.client().await.ask(&post("/v1/completions", r#"{"prompt":"x"}"#)).await;
    assert_eq!((got.status, got.error("message")), (400, "its own words".into()));
    gateway.settled().await;
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_by_its_announced_length() {
    let got = refused_within(post("/v1/completions", &"x".repeat(5000)).as_bytes(), small()).await;
    assert_eq!((got.status, got.error("code")), (413, "body_too_large".into()));
    assert!(got.error("message").as_str().unwrap().contains("1000 bytes"), "{got:?}");
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_when_it_crosses_it() {
    let mut request =
        "POST /v1/completions HTTP/1.1\r\nhost: gw\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for _ in 0..20 {
        request.push_str(&chunk(&"x".repeat(100)));
    }
    let got = refused_within(request.as_bytes(), small()).await;
    assert_eq!((got.status, got.error("code")), (413, "body_too_large".into()));
}

#[tokio::test]
async fn a_large_upload_that_is_sent_before_reading_still_gets_its_refusal() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::limited(&[endpoint.addr], small(), Limits::default());
    let mut client = gateway.client().await;
    let got = client.ask(&post("/v1/completions", &"x".repeat(20 << 20))).await;
    assert_eq!(got.status, 413);
    assert_eq!(client.ask(&completion("")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused() {
    let request = b"POST /v1/completions HTTP/1.1\r\nhost: gw\r\ncontent-length: 100\r\n\r\n{\"model\"";
    let got = refused_within(request, small()).await;
    assert_eq!((got.status, got.error("code")), (408, "request_timeout".into()));
}

#[tokio::test]
async fn a_body_that_ends_early_is_refused() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    client.send("POST /v1/completions HTTP/1.1\r\nhost: gw\r\ncontent-length: 100\r\n\r\n{\"model\"").await;
    client.finish().await;
    client.rest().await;
    assert_eq!(gateway.client().await.ask(&completion("")).await.status, 200);
    gateway.settled().await;
    assert_eq!(gateway.log(2).await[0]["status"], 400);
    assert_eq!(endpoint.seen().len(), 1);
}

#[tokio::test]
async fn malformed_chunks_are_refused() {
    let request = b"POST /v1/completions HTTP/1.1\r\nhost: gw\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let got = refused(request).await;
    assert_eq!((got.status, got.error("code")), (400, "bad_request".into()));
}

#[tokio::test]
async fn conflicting_lengths_and_header_floods_are_refused() {
    let lengths =
        b"POST /v1/completions HTTP/1.1\r\nhost: gw\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}";
    assert_eq!(refused(lengths).await.status, 400);
    let flood: String = (0..5000).map(|n| format!("x-{n}: y\r\n")).collect();
    let got = refused(format!("GET / HTTP/1.1\r\nhost: gw\r\n{flood}\r\n").as_bytes()).await;
    assert_eq!(got.status, 431);
}

#[tokio::test]
async fn equal_lengths_sent_twice_reach_the_endpoint_once() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&endpoint]);
    let body = r#"{"model":"m"}"#;
    let length = format!("content-length: {}\r\n", body.len());
    let request = format!("POST /v1/completions HTTP/1.1\r\nhost: gw\r\n{length}{length}\r\n{body}");
    assert_eq!(gateway.client().await.ask(&request).await.status, 200);
    let seen = &endpoint.seen()[0];
    assert_eq!(seen.head.matches("content-length").count(), 1);
    assert_eq!(seen.body, body);
}

#[tokio::test]
async fn a_json_post_elsewhere_is_left_to_the_endpoint_whatever_it_says() {
    let endpoint = Endpoint::answering(answer("422 Unprocessable Entity", "{}"));
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    for body in ["not json", r#"{"model":7}"#, "[1]"] {
        assert_eq!(client.ask(&post("/v1/load_lora_adapter", body)).await.status, 422);
    }
    assert_eq!(endpoint.seen().len(), 3);
}
