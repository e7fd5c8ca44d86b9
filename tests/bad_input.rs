//! Clients and endpoints that send what makes no sense, end to end. Each time: the right status, a body that clients
//! of the OpenAI API understand or the endpoint's own, the next request is served, and nothing is left over.

#![allow(clippy::unwrap_used)] // what cannot go on fails its test

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use support::fleet::{completion, streamed};
use support::{Answer, Endpoint, Gateway, MODEL, Server, client, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Memory that may be added to that of an idle gateway once bad requests have passed, beside one body.
const SPARE_BYTES: u64 = 192 << 20;
const BIG_BODY_BYTES: usize = 100 << 20;
/// How long a raw exchange may take.
const RAW: Duration = Duration::from_secs(30);

struct Scene {
    server: Server,
    gateway: Gateway,
    idle_bytes: u64,
}

impl Scene {
    async fn set(args: &[&str]) -> Scene {
        let server = Server::start(&["--time-scale", "0.1"]).await;
        let gateway = Gateway::before(&[&server], args).await;
        let idle_bytes = gateway.process.resident_bytes();
        Scene { server, gateway, idle_bytes }
    }

    /// What a POST of `body` gets.
    async fn post(&self, path: &str, body: &str) -> Answer {
        let request = client::request(Method::POST, path, &[], body);
        client::send(self.gateway.address, request).await.unwrap()
    }

    /// What raw bytes get: the status, and all that came.
    async fn raw(&self, bytes: &[u8], close: bool) -> (u16, String) {
        let said = client::raw(self.gateway.address, bytes, close, RAW).await;
        let status = said.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, said)
    }

    /// The gateway is as if nothing had happened.
    async fn is_well(&self) {
        until("the next request is served", || async { self.gateway.complete(MODEL, 2).await.status == 200 })
            .await;
        self.gateway.until_settled().await;
        let grown = self.gateway.process.resident_bytes().saturating_sub(self.idle_bytes);
        assert!(grown < SPARE_BYTES, "grew by {} MiB", grown >> 20);
    }
}

/// The message of an error in OpenAI's shape.
fn message(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
    let body = answer.json();
    let error = &body["error"];
    assert!(
        error["type"].is_string() && error.get("param").is_some() && error.get("code").is_some(),
        "{body}"
    );
    error["message"].as_str().unwrap().to_owned()
}

fn head(length: usize, more: &str) -> String {
    format!(
        "POST /v1/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn bodies_that_are_no_request_get_400_with_the_reason() {
    let scene = Scene::set(&[]).await;
    let deep = format!(r#"{{"model":"{MODEL}","prompt":{}1{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    for (body, says) in [
        ("this is not JSON", "expected a value"),
        ("[1, 2]", "must be a JSON object"),
        (r#"{"model": 7, "prompt": "x"}"#, "`model` must be a string"),
        (r#"{"model": "m", "prompt": "#, "ends too early"),
        (&deep, "nested deeper"),
    ] {
        for path in ["/v1/completions", "/v1/chat/completions", "/v1/embeddings"] {
            let answer = scene.post(path, body).await;
            assert_eq!(answer.status, 400, "{answer:?}");
            assert!(message(&answer).contains(says), "{answer:?}");
        }
    }
    let invalid = b"{\"model\":\"m\",\"prompt\":\"\xff\xfe\"}";
    let (status, said) = scene.raw(&[head(invalid.len(), "").as_bytes(), invalid].concat(), false).await;
    assert!(status == 400 && said.contains("UTF-8"), "{said}");
    scene.is_well().await;
}

#[tokio::test]
async fn what_only_the_endpoint_can_judge_gets_its_own_answer() {
    let scene = Scene::set(&[]).await;
    for (path, body) in [
        ("/v1/completions", json!({ "model": MODEL, "prompt": { "not": "a prompt" } })),
        ("/v1/chat/completions", json!({ "model": MODEL, "messages": "not a list" })),
        ("/v1/completions", json!({ "model": MODEL, "prompt": "x", "max_tokens": -1 })),
        ("/no/such/path", json!({ "model": MODEL })),
    ] {
        let own = client::post(scene.server.address, path, &body).await;
        let passed = client::post(scene.gateway.address, path, &body).await;
        assert_eq!((passed.status, without_ids(&passed)), (own.status, without_ids(&own)), "{path} {body}");
    }
    // vLLM answers with the model that it has.
    let without_model =
        client::post(scene.gateway.address, "/v1/completions", &json!({ "prompt": "x" })).await;
    assert_eq!(without_model.status, 200);
    assert_eq!(without_model.json()["model"], MODEL);
    let unknown = scene.gateway.complete("no-such-model", 1).await;
    assert_eq!(unknown.status, 404);
    assert!(message(&unknown).contains("no-such-model"));
    assert_eq!(client::get(scene.gateway.address, "/no/such/path").await.status, 404);
    scene.is_well().await;
}

/// A body without what differs from answer to answer.
fn without_ids(answer: &Answer) -> Value {
    let mut body = answer.json();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("id");
        fields.remove("created");
    }
    body
}

#[tokio::test]
async fn a_body_of_100_mb_gets_413_whether_announced_or_not() {
    let scene = Scene::set(&[]).await;
    let mut announced = head(BIG_BODY_BYTES, "").into_bytes();
    announced.resize(announced.len() + BIG_BODY_BYTES, b'x');
    let (status, said) = scene.raw(&announced, false).await;
    assert!(status == 413 && said.contains("body_too_large"), "{said}");
    drop(announced);

    let mut chunked = b"POST /v1/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    let chunk = "x".repeat(1 << 20);
    for _ in 0..100 {
        chunked.extend_from_slice(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let (status, said) = scene.raw(&chunked, false).await;
    assert!(status == 413 && said.contains("body_too_large"), "{said}");
    scene.is_well().await;
}

#[tokio::test]
async fn requests_that_are_broken_as_http_are_refused() {
    let scene = Scene::set(&[]).await;
    let body = completion(MODEL, "x", 1).to_string();
    let truncated = [head(body.len() + 100, "").as_bytes(), body.as_bytes()].concat();
    let (status, said) = scene.raw(&truncated, true).await;
    assert!(status == 400 || said.is_empty(), "{said}");
    let twice = [head(body.len(), "content-length: 3\r\n").as_bytes(), body.as_bytes()].concat();
    assert_eq!(scene.raw(&twice, false).await.0, 400);
    let flood: String = (0..20_000).map(|number| format!("x-{number}: flood\r\n")).collect();
    let flood = [head(body.len(), &flood).as_bytes(), body.as_bytes()].concat();
    assert_eq!(scene.raw(&flood, false).await.0, 431);
    let long = format!("GET /{} HTTP/1.1\r\nhost: gateway\r\n\r\n", "x".repeat(1 << 20));
    let (status, _) = scene.raw(long.as_bytes(), false).await;
    assert!((400..=431).contains(&status), "{status}");
    let (status, said) =
        scene.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no http\r\n\r\n", false).await;
    assert!(status == 400 || said.is_empty(), "{said}");
    scene.is_well().await;
}

#[tokio::test]
async fn clients_that_never_finish_their_heads_hinder_nobody() {
    let scene = Scene::set(&[]).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut connection = client::connect(scene.gateway.address).await.unwrap();
        connection.write_all(b"POST /v1/completions HTTP/1.1\r\nhost: g").await.unwrap();
        slow.push(connection);
    }
    for _ in 0..10 {
        assert_eq!(scene.gateway.complete(MODEL, 1).await.status, 200);
    }
    scene.is_well().await;
    // They are thrown out in the end.
    let mut first = slow.remove(0);
    let mut said = Vec::new();
    let _ = soon(first.read_to_end(&mut said)).await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

#[tokio::test]
async fn endpoints_that_fail_are_told_of_in_openais_words_or_their_own() {
    let scene = Scene::set(&["--answer-timeout-s", "1", "--queue-wait-s", "1"]).await;
    let ask = || scene.gateway.complete(MODEL, 3);

    scene.server.faults(json!({ "status": 500 })).await;
    let answer = ask().await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("this server is told to fail"), "{answer:?}");
    scene.server.faults(json!({})).await;
    scene.is_well().await;

    scene.server.faults(json!({ "hang": "inference" })).await;
    let answer = ask().await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{answer:?}");
    message(&answer);
    scene.server.faults(json!({})).await;
    scene.is_well().await;

    scene.server.faults(json!({ "reset_after_events": 3 })).await;
    let body = streamed(MODEL, "x", 50);
    let stream = client::stream(scene.gateway.address, "/v1/completions", &body).await;
    assert_eq!(stream.status, 200);
    assert!(stream.rest().await.is_err(), "the stream ended as if it were whole");
    scene.server.faults(json!({})).await;
    scene.is_well().await;
}

#[tokio::test]
async fn an_answer_that_is_shorter_than_announced_breaks_off_for_the_client_too() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let endpoint = Endpoint::answering(format!("{head}{{\"choices\":[]}}")).await;
    let gateway = Gateway::serve(&[endpoint.address.to_string()], &[]).await;
    gateway.until_ready(1).await;
    let request =
        client::request(Method::POST, "/v1/completions", &[], &completion(MODEL, "x", 3).to_string());
    let answer = soon(client::open(gateway.address, request)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.whole().await.is_err(), "the body came whole");
    gateway.until_settled().await;
}

#[tokio::test]
async fn an_endpoint_that_answers_garbage_is_a_bad_gateway() {
    let garbage = garbage().await;
    let gateway = Gateway::serve(&[garbage.to_string()], &["--queue-wait-s", "1"]).await;
    // It is no endpoint as long as nothing of it makes sense.
    let answer = gateway.complete(MODEL, 1).await;
    assert!([502, 503].contains(&answer.status.as_u16()), "{answer:?}");
    message(&answer);
    gateway.until_settled().await;

    let scene = Scene::set(&["--queue-wait-s", "1"]).await;
    scene.server.faults(json!({ "garbage": true })).await;
    let answer = scene.gateway.complete(MODEL, 1).await;
    assert!([502, 503].contains(&answer.status.as_u16()), "{answer:?}");
    message(&answer);
}

/// An address where every connection is answered with bytes that are no HTTP.
async fn garbage() -> SocketAddr {
    #[allow(clippy::disallowed_methods)] // no server of ours
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.write_all(&[0xfe; 4096]).await;
        }
    });
    address
}

#[tokio::test]
async fn scrape_pages_that_make_no_sense_keep_nobody_from_being_served() {
    let well = Server::start(&["--time-scale", "0.1"]).await;
    let odd = Server::start(&["--time-scale", "0.1"]).await;
    let gateway = Gateway::before(&[&well, &odd], &[]).await;
    let idle_bytes = gateway.process.resident_bytes();
    for page in ["huge", "binary", "slow", "half"] {
        odd.faults(json!({ "metrics": page })).await;
        for _ in 0..20 {
            let answer = gateway.complete(MODEL, 2).await;
            assert_eq!(answer.status, 200, "{page}: {answer:?}");
        }
        let grown = gateway.process.resident_bytes().saturating_sub(idle_bytes);
        assert!(grown < SPARE_BYTES, "{page}: grew by {} MiB", grown >> 20);
        odd.faults(json!({})).await;
        gateway.until_ready(2).await;
    }
    gateway.until_settled().await;
}
