use http::HeaderValue;
use roadstead_picker::Policy;

use super::*;

fn shape() -> PrefixShape {
    Policy::by_name("least-wait").unwrap().prefix_shape()
}

fn post(path: &'static str, body: &[u8]) -> Result<Intake, BadRequest> {
    Intake::of(&Method::POST, &Uri::from_static(path), &HeaderMap::new(), Some(body), &shape())
}

fn typed(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers
}

#[test]
fn an_inference_request_is_known_by_its_body() {
    let body = br#"{"model":"m","prompt":"12345678","stream":true,"max_tokens":7,"n":2,"stream_options":{"include_usage":true}}"#;
    let intake = post("/v1/completions", body).unwrap();
    assert_eq!(intake.api, Api::Completions);
    assert_eq!(intake.model.as_deref(), Some("m"));
    assert!(intake.stream && intake.include_usage && !intake.explain);
    assert_eq!(intake.work.output_tokens_max, Some(7));
    assert_eq!(intake.work.sequences, 2);
    assert!(intake.work.prompt_tokens >= 2);
    assert_eq!(intake.retry, RetryClass::UntilFirstByte);
    assert_eq!(intake.request_bytes, body.len());
}

#[test]
fn equal_prompts_hash_alike_only_for_the_same_model() {
    let body = |model: &str| format!(r#"{{"model":"{model}","prompt":"{}"}}"#, "x".repeat(100_000));
    let prefix = |model: &str| post("/v1/completions", body(model).as_bytes()).unwrap().prefix;
    assert!(!prefix("a").is_empty());
    assert_eq!(prefix("a"), prefix("a"));
    assert_ne!(prefix("a"), prefix("b"));
}

#[test]
fn a_missing_model_passes_and_any_endpoint_will_do() {
    let intake = post("/v1/chat/completions", br#"{"messages":[]}"#).unwrap();
    assert_eq!(intake.model, None);
    assert_eq!(intake.retry, RetryClass::UntilFirstByte);
}

#[test]
fn bad_inference_bodies_are_refused_with_the_place() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    for (body, message, param) in [
        (&b"hello"[..], "expected a value at byte 0", None),
        (b"", "the body is empty at byte 0", None),
        (b"[1]", "the body must be a JSON object at byte 0", None),
        (br#"{"model":"m","prompt":"#, "the JSON ends too early at byte 22", None),
        (br#"{"model":7}"#, "`model` must be a string at byte 9", Some("model")),
        (b"{\"model\":\"\xff\"}", "the body is not valid UTF-8 at byte 10", None),
        (&deep, "nested deeper than 128 levels at byte 128", None),
    ] {
        let refused = post("/v1/completions", body).unwrap_err();
        assert_eq!((refused.to_string().as_str(), refused.param), (message, param));
    }
}

#[test]
fn another_post_is_placed_by_its_model_and_otherwise_left_to_the_endpoint() {
    let tokenize = post("/tokenize", br#"{"model":"m","prompt":"x"}"#).unwrap();
    assert_eq!(tokenize.model.as_deref(), Some("m"));
    assert_eq!(tokenize.retry, RetryClass::OnlyUnprocessed);
    for body in [&b"not json"[..], br#"{"model":7}"#, br#"{"x":1}"#, b""] {
        let intake = post("/anything", body).unwrap();
        assert_eq!((intake.api, intake.model), (Api::Other, None));
    }
}

#[test]
fn the_head_says_whether_the_body_must_be_read() {
    let of = |method: &Method, path, content_type| {
        BodyUse::of(method, &Uri::from_static(path), &typed(content_type))
    };
    assert_eq!(of(&Method::POST, "/v1/chat/completions", "text/plain"), BodyUse::Whole);
    assert_eq!(of(&Method::POST, "/x", "Application/JSON; charset=utf-8"), BodyUse::Whole);
    assert_eq!(of(&Method::POST, "/x", "application/vnd.x+json"), BodyUse::Whole);
    assert_eq!(of(&Method::POST, "/v1/audio/transcriptions", "multipart/form-data"), BodyUse::Passing);
    assert_eq!(of(&Method::PUT, "/x", "application/json"), BodyUse::Passing);
    assert_eq!(of(&Method::GET, "/v1/completions", "application/json"), BodyUse::Passing);
}

#[test]
fn reasons_are_given_only_when_asked_for() {
    let mut headers = HeaderMap::new();
    let explain = |headers: &HeaderMap| {
        Intake::of(&Method::GET, &Uri::from_static("/version"), headers, None, &shape()).unwrap().explain
    };
    assert!(!explain(&headers));
    headers.insert(headers::EXPLAIN, HeaderValue::from_static("1"));
    assert!(explain(&headers));
}
