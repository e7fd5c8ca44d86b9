//! How clients come and go: protocols, expectations, disconnects.

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use roadstead_proxy::ProxyLimits;

use crate::support::gateway::hasty;
use crate::support::*;

#[tokio::test]
async fn an_http2_client_is_served_by_an_http1_endpoint() {
    let event = chunk("data: {\"choices\":[{\"text\":\"x\"}]}\n\n");
    let endpoint = Endpoint::answering(format!("{STREAM_HEAD}{event}{event}{LAST_CHUNK}"));
    let gateway = Gateway::before(&[&endpoint]);
    let client = gateway.client().await;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(client.stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::builder()
            .method(Method::POST)
            .uri("http://models.example/v1/completions")
            .body(Full::new(Bytes::from_static(br#"{"model":"m","prompt":"x","stream":true}"#)))
            .unwrap();
        let response = soon(sender.send_request(request)).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        assert_eq!(response.headers()["x-roadstead-endpoint"], "endpoint-0");
        let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
        assert_eq!(body.len(), 2 * "data: {\"choices\":[{\"text\":\"x\"}]}\n\n".len());
    }
    let seen = &endpoint.seen()[0];
    assert!(seen.head.starts_with("POST /v1/completions HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("host"), Some("models.example"));
    gateway.settled().await;
    drop(sender);
    let _ = soon(driver).await;
}

/// A stream over HTTP/2, of which one event has come; and the connection's task.
async fn http2_stream(gateway: &Gateway) -> (hyper::body::Incoming, tokio::task::JoinHandle<()>) {
    let client = gateway.client().await;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(client.stream)).await.unwrap();
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://models.example/v1/completions")
        .body(Full::new(Bytes::from_static(br#"{"model":"m","prompt":"x","stream":true}"#)))
        .unwrap();
    let mut body = soon(sender.send_request(request)).await.unwrap().into_body();
    assert!(soon(body.frame()).await.unwrap().unwrap().is_data());
    (body, driver)
}

#[tokio::test]
async fn an_http2_client_that_cancels_its_stream_ends_the_work_at_once() {
    let endpoint = Endpoint::start(|mut talk| async move {
        talk.request().await?;
        talk.send(STREAM_HEAD).await?;
        talk.send(&chunk("data: {\"choices\":[{\"text\":\"x\"}]}\n\n")).await?;
        talk.closed().await
    });
    let gateway = Gateway::before(&[&endpoint]);
    let (body, driver) = http2_stream(&gateway).await;
    drop(body);
    until(|| endpoint.open() == 0).await;
    gateway.settled().await;
    driver.abort();
}

#[tokio::test]
async fn an_http2_client_sees_a_stream_that_breaks_off() {
    let event = chunk("data: {\"choices\":[{\"text\":\"x\"}]}\n\n");
    let endpoint = Endpoint::breaking_after(format!("{STREAM_HEAD}{event}"));
    let gateway = Gateway::before(&[&endpoint]);
    let (mut body, driver) = http2_stream(&gateway).await;
    assert!(soon(body.frame()).await.unwrap().is_err());
    gateway.settled().await;
    driver.abort();
}

#[tokio::test]
async fn a_client_that_waits_to_go_on_is_told_to() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    let request = completion("").replacen("\r\n", "\r\nexpect: 100-continue\r\n", 1);
    let (head, body) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
    client.send(head).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(body).await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(endpoint.seen()[0].header("expect"), None);
}

#[tokio::test]
async fn a_client_that_waits_to_go_on_with_too_much_is_not_told_to() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    client
        .send("POST /v1/completions HTTP/1.1\r\nhost: gw\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n")
        .await;
    let got = client.answer().await;
    assert_eq!((got.status, got.error("code")), (413, "body_too_large".into()));
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_ends_the_work_at_once() {
    let endpoint = Endpoint::start(|mut talk| async move {
        talk.request().await?;
        talk.send(STREAM_HEAD).await?;
        talk.send(&chunk("data: {\"choices\":[{\"text\":\"x\"}]}\n\n")).await?;
        talk.closed().await
    });
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    client.send(&completion(r#","stream":true"#)).await;
    client.until_text("data: ").await;
    assert_eq!((endpoint.open(), gateway.booked()), (1, 1));
    drop(client);
    until(|| endpoint.open() == 0).await;
    gateway.settled().await;
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["error"]), (&200.into(), &"client_gone".into()));
    assert_eq!(line["output_tokens"], 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_work_at_once() {
    let endpoint = Endpoint::mute();
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    client.send(&completion("")).await;
    endpoint.saw(1).await;
    drop(client);
    until(|| endpoint.open() == 0).await;
    gateway.settled().await;
    let line = &gateway.log(1).await[0];
    assert_eq!((&line["status"], &line["error"]), (&499.into(), &"client_gone".into()));
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_leaves_nothing_behind() {
    let gateway = Gateway::before(&[]);
    let mut client = gateway.client().await;
    client.send(&completion("")).await;
    until(|| gateway.pool.view().queued == 1).await;
    drop(client);
    until(|| gateway.pool.view().queued == 0).await;
}

#[tokio::test]
async fn without_an_endpoint_a_request_is_refused_after_its_wait() {
    let gateway = Gateway::limited(&[], ProxyLimits::default(), hasty());
    let got = gateway.client().await.ask(&completion("")).await;
    assert_eq!((got.status, got.error("code")), (503, "no_endpoint".into()));
    assert_eq!(got.header("retry-after"), Some("1"));
    assert_eq!(got.header("x-llm-d-request-dropped-reason"), Some("rejected-no-endpoints"));
    assert!(got.header("x-request-id").is_some());
    assert_eq!(gateway.log(1).await[0]["error"], "no_endpoint");
}

#[tokio::test]
async fn upgrades_are_refused_and_the_next_request_is_served() {
    let endpoint = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    let got =
        client.ask("GET /ws HTTP/1.1\r\nhost: gw\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!((got.status, got.error("code")), (501, "upgrade_unsupported".into()));
    assert_eq!(client.ask(&completion("")).await.status, 200);
    let mut client = gateway.client().await;
    assert_eq!(client.ask("CONNECT example:443 HTTP/1.1\r\nhost: example:443\r\n\r\n").await.status, 501);
}
