use http::header::TRAILER;

use super::*;

fn client() -> Client {
    Client::new("::ffff:10.1.2.3".parse().unwrap())
}

fn head(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
    build(Request::builder().method(Method::POST).uri("/v1/completions")).body(()).unwrap().into_parts().0
}

fn sent(head: Parts) -> Request<UpstreamBody> {
    Outgoing::new(head, Upload::Nothing, &client(), true).request()
}

#[test]
fn headers_of_the_hop_and_headers_that_steer_do_not_pass() {
    let head = head(|head| {
        head.header("host", "models.example")
            .header("authorization", "Bearer x")
            .header("x-custom", "stays")
            .header("connection", "close, X-Secret")
            .header("x-secret", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authorization", "Basic y")
            .header("te", "gzip")
            .header("transfer-encoding", "chunked")
            .header("expect", "100-continue")
            .header("x-gateway-destination-endpoint", "10.0.0.9:1")
            .header("x-llm-d-inference-fairness-id", "tenant")
            .header("x-roadstead-explain", "1")
    });
    let request = sent(head);
    let headers = request.headers();
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "endpoint-load-metrics-format",
            "host",
            "traceparent",
            "x-custom",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto"
        ]
    );
    assert_eq!(headers["x-forwarded-for"], "10.1.2.3");
    assert_eq!(headers["x-forwarded-host"], "models.example");
    assert_eq!(headers["x-forwarded-proto"], "http");
}

#[test]
fn a_connection_header_cannot_take_the_length_or_host_away() {
    let head = head(|head| {
        head.header("connection", "host, content-length").header("host", "h").header("content-length", "3")
    });
    let held = Upload::Passing(Default::default());
    let request = Outgoing::new(head, held, &client(), false).request();
    assert_eq!(request.headers()[HOST], "h");
    assert_eq!(request.headers()[CONTENT_LENGTH], "3");
}

#[test]
fn trailers_are_announced_on_both_hops() {
    let request = sent(head(|head| head.header("te", "gzip, Trailers").header("trailer", "x-sum")));
    assert_eq!(request.headers()[TE], "trailers");
    assert_eq!(request.headers()[CONNECTION], "te");
    assert_eq!(request.headers()[TRAILER], "x-sum");
}

#[test]
fn an_authority_in_the_target_is_the_host() {
    let request = sent(head(|head| head.uri("http://in.target/v1/x").header("host", "in.header")));
    assert_eq!(request.headers()[HOST], "in.target");
    assert_eq!(request.headers()["x-forwarded-host"], "in.target");
}

#[test]
fn a_trace_is_continued_and_a_broken_one_starts_anew() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = sent(head(|head| head.header("traceparent", trace).header("tracestate", "v=1")));
    let next = request.headers()["traceparent"].to_str().unwrap();
    assert!(next.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && next.ends_with("-01"), "{next}");
    assert_ne!(next, trace);
    assert_eq!(request.headers()["tracestate"], "v=1");

    let request = sent(head(|head| head.header("traceparent", "00-zz").header("tracestate", "v=1")));
    let anew = TraceContext::parse(request.headers()["traceparent"].as_bytes()).unwrap();
    assert!(!anew.sampled());
    assert!(!request.headers().contains_key("tracestate"));
}

#[test]
fn a_request_id_is_kept_or_made() {
    let mut headers = HeaderMap::new();
    let made = request_id(&mut headers);
    let text = made.to_str().unwrap();
    assert_eq!((text.len(), &text[14..15]), (36, "4"));
    assert!("89ab".contains(&text[19..20]), "{text}");
    assert_eq!(request_id(&mut headers), made);
    headers.insert(headers::REQUEST_ID, HeaderValue::from_static("mine"));
    assert_eq!(request_id(&mut headers), "mine");
    for unusable in [String::new(), "x".repeat(REQUEST_ID_BYTES_MAX + 1)] {
        headers.insert(headers::REQUEST_ID, HeaderValue::try_from(unusable).unwrap());
        assert_eq!(request_id(&mut headers).len(), 36);
    }
}

#[test]
fn upgrades_are_refused_but_an_offer_of_http2_is_not() {
    assert!(
        admit(&head(|head| head.header("upgrade", "websocket").header("connection", "upgrade"))).is_err()
    );
    assert!(admit(&head(|head| head.method(Method::CONNECT).uri("a:1"))).is_err());
    assert!(admit(&head(|head| head.header("upgrade", "h2c").header("connection", "upgrade"))).is_ok());
}

#[test]
fn a_client_that_asks_for_the_load_sees_it() {
    assert!(!Outgoing::new(head(|head| head), Upload::Nothing, &client(), true).wants_load);
    let asks = head(|head| head.header("endpoint-load-metrics-format", "TEXT"));
    let outgoing = Outgoing::new(asks, Upload::Nothing, &client(), true);
    assert!(outgoing.wants_load);
    assert_eq!(outgoing.request().headers()["endpoint-load-metrics-format"], "TEXT");
}

#[test]
fn the_quick_looks_know_every_name() {
    assert!(CONTROL.iter().all(is_control));
    assert!(headers::HOP_BY_HOP.iter().filter(|name| **name != TRAILER).all(is_hop));
    assert!(!is_hop(&TRAILER));
}
