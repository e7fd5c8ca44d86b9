//! What goes through: both ways, untouched, as it comes.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::support::*;

#[tokio::test]
async fn an_answer_passes_untouched_and_is_labelled() {
    let body = r#"{"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#;
    let endpoint = Endpoint::answering(format!(
        "HTTP/1.1 200 OK\r\nserver: uvicorn\r\nx-own: 1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let gateway = Gateway::before(&[&endpoint]);
    let got = gateway.client().await.ask(&completion("")).await;
    assert_eq!((got.status, got.body.as_str()), (200, body));
    assert_eq!(got.header("server"), Some("uvicorn"));
    assert_eq!(got.header("x-own"), Some("1"));
    assert_eq!(got.header("x-roadstead-endpoint"), Some("endpoint-0"));
    assert_eq!(got.header("x-roadstead-explain"), None);
    let seen = &endpoint.seen()[0];
    assert_eq!(seen.header("x-request-id"), got.header("x-request-id"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("host"), Some("gw"));
    assert!(seen.header("traceparent").is_some());
    assert_eq!(seen.body, r#"{"model":"m","prompt":"hello"}"#);
    gateway.settled().await;

    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["model"]), (&200.into(), &"m".into()));
    assert_eq!((&line["prompt_tokens"], &line["output_tokens"]), (&5.into(), &7.into()));
    assert_eq!((&line["endpoint"], &line["attempts"]), (&"endpoint-0".into(), &1.into()));
    assert_eq!(line["why"], "round-robin");
    assert!(line["ttft_ms"].is_number() && line["error"].is_null(), "{line}");
}

#[tokio::test]
async fn events_pass_one_by_one_as_they_come() {
    let go_on = Arc::new(Notify::new());
    let goes_on = go_on.clone();
    let endpoint = Endpoint::start(move |mut talk| {
        let go_on = goes_on.clone();
        async move {
            talk.request().await?;
            talk.send(STREAM_HEAD).await?;
            for token in ["one", "two", "three"] {
                talk.send(&chunk(&format!("data: {{\"choices\":[{{\"text\":\"{token}\"}}]}}\n\n"))).await?;
                go_on.notified().await;
            }
            talk.send(&chunk(
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\n",
            ))
            .await?;
            talk.send(&chunk("data: [DONE]\n\n")).await?;
            talk.send(LAST_CHUNK).await?;
            talk.closed().await
        }
    });
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    client.send(&completion(r#","stream":true"#)).await;
    for token in ["one", "two", "three"] {
        client.until_text(token).await;
        assert_eq!(gateway.booked(), 1);
        go_on.notify_one();
    }
    client.until_text("data: [DONE]\n\n\r\n0\r\n\r\n").await;
    gateway.settled().await;
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["prompt_tokens"], &line["output_tokens"]), (&2.into(), &3.into()));
}

#[tokio::test]
async fn tokens_of_a_stream_without_usage_are_counted() {
    let event = chunk("data: {\"choices\":[{\"text\":\"x\"}]}\n\n");
    let endpoint = Endpoint::answering(format!("{STREAM_HEAD}{event}{event}{event}{LAST_CHUNK}"));
    let gateway = Gateway::before(&[&endpoint]);
    assert_eq!(gateway.client().await.ask(&completion(r#","stream":true"#)).await.status, 200);
    assert_eq!(gateway.log(1).await[0]["output_tokens"], 3);
}

#[tokio::test]
async fn an_upload_passes_as_it_comes_and_trailers_pass_both_ways() {
    let endpoint = Endpoint::start(|mut talk| async move {
        talk.head().await?;
        assert_eq!(talk.chunk().await?, "one");
        talk.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n").await?;
        talk.send(&chunk("got one")).await?;
        assert_eq!(talk.chunk().await?, "two");
        talk.send(&format!("{}0\r\nx-sum: 7\r\n\r\n", chunk("got two"))).await?;
        talk.closed().await
    });
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    client
        .send("PUT /files/x HTTP/1.1\r\nhost: gw\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    client.send(&chunk("one")).await;
    client.until_text("got one").await;
    client.send(&format!("{}{LAST_CHUNK}", chunk("two"))).await;
    let rest = client.until_text("\r\n\r\n").await;
    assert!(rest.contains("got two") && rest.contains("x-sum: 7"), "{rest}");
    assert_eq!(endpoint.seen()[0].header("te"), Some("trailers"));
    gateway.settled().await;
}

#[tokio::test]
async fn trailers_of_an_upload_reach_the_endpoint() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&endpoint]);
    let upload = "PUT /f HTTP/1.1\r\nhost: gw\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                  3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n";
    assert_eq!(gateway.client().await.ask(upload).await.status, 200);
    let seen = &endpoint.seen()[0];
    assert_eq!((seen.body.as_str(), seen.trailers.trim()), ("abc", "x-sum: 9"));
}

#[tokio::test]
async fn other_requests_reach_an_endpoint_with_their_query() {
    let endpoint = Endpoint::answering(answer("404 Not Found", r#"{"detail":"Not Found"}"#));
    let gateway = Gateway::before(&[&endpoint]);
    let got = gateway.client().await.ask("GET /nowhere?x=1 HTTP/1.1\r\nhost: gw\r\n\r\n").await;
    assert_eq!((got.status, got.body.as_str()), (404, r#"{"detail":"Not Found"}"#));
    assert!(endpoint.seen()[0].head.starts_with("GET /nowhere?x=1 HTTP/1.1\r\n"));
    gateway.settled().await;
    assert_eq!(gateway.log(1).await[0]["status"], 404);
}

#[tokio::test]
async fn a_head_request_gets_the_length_and_no_body() {
    let endpoint = Endpoint::start(|mut talk| async move {
        talk.request().await?;
        talk.send("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n").await?;
        talk.closed().await
    });
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    client.send("HEAD /version HTTP/1.1\r\nhost: gw\r\nconnection: close\r\n\r\n").await;
    let got = client.rest().await;
    assert!(got.contains("content-length: 1234") && got.ends_with("\r\n\r\n"), "{got}");
    gateway.settled().await;
}

#[tokio::test]
async fn a_multipart_upload_is_no_json_and_passes() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&endpoint]);
    let got = gateway
        .client()
        .await
        .ask("POST /v1/audio/transcriptions HTTP/1.1\r\nhost: gw\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: 5\r\n\r\n--x--")
        .await;
    assert_eq!(got.status, 200);
    assert_eq!(endpoint.seen()[0].body, "--x--");
}

#[tokio::test]
async fn the_reasons_come_back_when_asked_for() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&endpoint]);
    let asks = completion("").replacen("\r\n", "\r\nx-roadstead-explain: 1\r\n", 1);
    let got = gateway.client().await.ask(&asks).await;
    let why = got.header("x-roadstead-explain").unwrap();
    assert!(why.starts_with("policy=round-robin; chosen=endpoint-0; endpoint-0:"), "{why}");
    assert_eq!(endpoint.seen()[0].header("x-roadstead-explain"), None);
}

#[tokio::test]
async fn the_load_header_is_read_and_kept_from_clients_that_did_not_ask() {
    let load = r#"JSON {"named_metrics": {"num_requests_waiting": 3.0, "kv_cache_usage_perc": 0.5}}"#;
    let endpoint = Endpoint::answering(format!(
        "HTTP/1.1 200 OK\r\nendpoint-load-metrics: {load}\r\ncontent-length: 2\r\n\r\n{{}}"
    ));
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    let got = client.ask(&completion("")).await;
    assert_eq!(got.header("endpoint-load-metrics"), None);
    assert_eq!(endpoint.seen()[0].header("endpoint-load-metrics-format"), Some("JSON"));
    let view = gateway.pool.view();
    assert_eq!(view.endpoints[0].waiting.as_ref().unwrap().value, 3);
    assert_eq!(view.endpoints[0].kv_usage.as_ref().unwrap().value, 0.5);

    let asks = completion("").replacen("\r\n", "\r\nendpoint-load-metrics-format: JSON\r\n", 1);
    assert_eq!(client.ask(&asks).await.header("endpoint-load-metrics"), Some(load));
}
