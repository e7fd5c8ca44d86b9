//! `roadstead serve`: protocols, headers, the access log, models, clients that leave.

#![allow(clippy::unwrap_used)] // what cannot go on fails its test

mod support;

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use support::client::SERVED_BY;
use support::fleet::{completion, streamed};
use support::{Endpoint, Gateway, MODEL, Server, client, pools, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FINE: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{\"choices\":[]}";

async fn one_server() -> (Server, Gateway) {
    let server = Server::start(&["--time-scale", "0.2"]).await;
    let gateway = Gateway::before(&[&server], &[]).await;
    (server, gateway)
}

async fn recorded(answer: &str) -> (Endpoint, Gateway) {
    let endpoint = Endpoint::answering(answer).await;
    let gateway = Gateway::serve(&[endpoint.address.to_string()], &[]).await;
    gateway.until_ready(1).await;
    (endpoint, gateway)
}

#[tokio::test]
async fn an_http2_client_is_served_streams_included() {
    let (_server, gateway) = one_server().await;
    let connection = client::connect(gateway.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(connection)).await.unwrap();
    let driver = tokio::spawn(connection);
    let ask = |body: Value| {
        let url = format!("http://{}/v1/completions", gateway.address);
        let request = Request::post(url).header("content-type", "application/json");
        request.body(Full::new(Bytes::from(body.to_string()))).unwrap()
    };
    // Both at once on one connection.
    let whole = sender.send_request(ask(completion(MODEL, "x", 5)));
    let stream = sender.send_request(ask(streamed(MODEL, "x", 20)));
    let (whole, stream) = (soon(whole).await.unwrap(), soon(stream).await.unwrap());
    assert_eq!((whole.status().as_u16(), whole.version()), (200, Version::HTTP_2));
    assert!(whole.headers().contains_key(SERVED_BY));
    let whole: Value = serde_json::from_slice(&soon(whole.collect()).await.unwrap().to_bytes()).unwrap();
    assert_eq!(whole["usage"]["completion_tokens"], 5);
    let stream = soon(stream.collect()).await.unwrap().to_bytes();
    let events = String::from_utf8(stream.to_vec()).unwrap();
    assert_eq!(events.matches("\"text\":\"").count(), 20);
    assert!(events.ends_with("data: [DONE]\n\n"));
    gateway.until_settled().await;
    drop(sender);
    let _ = soon(driver).await;
}

#[tokio::test]
async fn a_client_that_waits_to_go_on_is_told_to() {
    let (_server, gateway) = one_server().await;
    let mut connection = client::connect(gateway.address).await.unwrap();
    let body = completion(MODEL, "x", 2).to_string();
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut said = vec![0; 25];
    soon(connection.read_exact(&mut said)).await.unwrap();
    assert_eq!(said, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut said = String::new();
    soon(connection.read_to_string(&mut said)).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
}

#[tokio::test]
async fn trailers_of_an_answer_reach_the_client() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntrailer: x-checksum\r\n\
        transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-checksum: 42\r\n\r\n";
    let (endpoint, gateway) = recorded(answer).await;
    let body = completion(MODEL, "x", 1).to_string();
    let request = client::request(Method::POST, "/v1/completions", &[("te", "trailers")], &body);
    let (answer, trailers) =
        soon(client::open(gateway.address, request)).await.unwrap().whole().await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "{}"));
    assert_eq!(trailers.expect("trailers came")["x-checksum"], "42");
    assert_eq!(endpoint.seen()[0].header("te"), "trailers");
}

#[tokio::test]
async fn upgrades_are_refused_in_words() {
    let (_server, gateway) = one_server().await;
    let fields = [("connection", "upgrade"), ("upgrade", "websocket")];
    let request = client::request(Method::GET, "/v1/realtime", &fields, "");
    let answer = client::send(gateway.address, request).await.unwrap();
    assert!(answer.status.is_client_error() || answer.status.as_u16() == 501, "{answer:?}");
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("upgrade"), "{answer:?}");
    assert_eq!(gateway.complete(MODEL, 1).await.status, 200);
}

#[tokio::test]
async fn request_id_and_trace_reach_the_endpoint_and_control_headers_do_not() {
    let (endpoint, gateway) = recorded(FINE).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let fields = [
        ("x-request-id", "the-clients-own"),
        ("traceparent", &*parent),
        ("tracestate", "vendor=1"),
        ("x-gateway-destination-endpoint", "10.0.0.1:80"),
        ("x-roadstead-explain", "1"),
    ];
    let answer =
        client::post_with(gateway.address, "/v1/completions", &fields, &completion(MODEL, "x", 1)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-request-id"), "the-clients-own");
    assert!(answer.header("x-roadstead-explain").starts_with("policy=least-wait"), "{answer:?}");
    let seen = &endpoint.seen()[0];
    assert_eq!(seen.header("x-request-id"), "the-clients-own");
    let sent = seen.header("traceparent");
    assert!(sent.starts_with(&format!("00-{trace}-")) && sent.ends_with("-01") && sent != parent, "{sent}");
    assert_eq!(seen.header("tracestate"), "vendor=1");
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("host"), "gateway.example");
    for name in ["x-gateway-destination-endpoint", "x-roadstead-explain"] {
        assert_eq!(seen.header(name), "", "{name} was passed on");
    }
    assert_eq!(seen.body, completion(MODEL, "x", 1).to_string());

    let answer = gateway.complete(MODEL, 1).await;
    let made = answer.header("x-request-id");
    assert_eq!(made.len(), 36);
    assert_eq!(endpoint.seen()[1].header("x-request-id"), made);
    assert_eq!(endpoint.seen()[1].header("traceparent").len(), parent.len());
}

#[tokio::test]
async fn every_request_has_a_line_in_the_access_log() {
    let (server, gateway) = one_server().await;
    let id = [("x-request-id", "the-stream")];
    let mut body = streamed(MODEL, &"word ".repeat(40), 10);
    body["stream_options"] = json!({ "include_usage": true });
    let answer = client::post_with(gateway.address, "/v1/completions", &id, &body).await;
    assert_eq!(answer.status, 200);
    let refused = gateway.complete("no-such-model", 1).await;
    assert_eq!(refused.status, 404);
    until("both have a line", || async { gateway.log().len() == 2 }).await;
    let log = gateway.log();
    let line = &log[0];
    for (name, value) in [
        ("request_id", json!("the-stream")),
        ("method", json!("POST")),
        ("path", json!("/v1/completions")),
        ("model", json!(MODEL)),
        ("target_model", json!(MODEL)),
        ("endpoint", json!(server.name())),
        ("status", json!(200)),
        ("prompt_tokens", json!(50)),
        ("output_tokens", json!(10)),
        ("attempts", json!(1)),
        ("why", json!("least-wait")),
    ] {
        assert_eq!(line[name], value, "{name} of {line}");
    }
    let (ttft, duration) = (line["ttft_ms"].as_f64().unwrap(), line["duration_ms"].as_f64().unwrap());
    assert!(0.0 < ttft && ttft < duration, "{line}");
    assert!(line["queue_ms"].as_f64().unwrap() < ttft, "{line}");
    assert_eq!((&log[1]["status"], &log[1]["model"]), (&json!(404), &json!("no-such-model")));
    assert!(log[1]["error"].as_str().is_some_and(|error| !error.is_empty()), "{}", log[1]);
}

#[tokio::test]
async fn models_are_the_union_and_each_goes_to_its_server() {
    let here = Server::start(&["--model", "here", "--time-scale", "0.2"]).await;
    let there = Server::start(&["--model", "there", "--lora", "law", "--time-scale", "0.2"]).await;
    let gateway = Gateway::before(&[&here, &there], &[]).await;
    let list = client::get(gateway.address, "/v1/models").await.json();
    let ids = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap());
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    assert_eq!(ids, ["here", "law", "there"]);
    assert_eq!(client::get(gateway.address, "/v1/models/law").await.json()["id"], "law");
    assert_eq!(client::get(gateway.address, "/v1/models/nowhere").await.status, 404);
    for (model, server) in [("here", &here), ("there", &there), ("law", &there)] {
        for _ in 0..5 {
            let answer = gateway.complete(model, 1).await;
            assert_eq!((answer.status.as_u16(), answer.endpoint()), (200, &*server.name()), "{model}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work_at_once() {
    let server = Server::start(&["--time-scale", "5"]).await;
    let gateway = Gateway::before(&[&server], &[]).await;
    let mut stream =
        client::stream(gateway.address, "/v1/completions", &streamed(MODEL, "Go on.", 5_000)).await;
    soon(stream.next()).await.unwrap().unwrap();
    let body = completion(MODEL, "Go on.", 5_000).to_string();
    let to = gateway.address;
    let whole = tokio::spawn(async move {
        let request = client::request(Method::POST, "/v1/completions", &[], &body);
        let _ = client::open(to, request).await;
    });
    server.until_metric("vllm:num_requests_running{", |running| running == 2.0).await;
    // Alone each would take minutes.
    drop(stream);
    server.until_metric("vllm:num_requests_running{", |running| running == 1.0).await;
    whole.abort();
    server.until_metric("vllm:num_requests_running{", |running| running == 0.0).await;
    gateway.until_settled().await;
    until("the log tells of both", || async {
        gateway.log().iter().filter(|line| line["error"] == "client_gone").count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_drained_endpoint_gets_nothing_new_and_takes_work_again_afterwards() {
    let servers = Server::start_many(2, &["--time-scale", "0.2"]).await;
    let gateway = Gateway::before(&[&servers[0], &servers[1]], &[]).await;
    let name = servers[0].name();
    let path = format!("/drain?endpoint={name}");
    assert_eq!(client::post(gateway.admin, &path, &json!({})).await.status, 200);
    for _ in 0..10 {
        assert_eq!(gateway.complete(MODEL, 1).await.endpoint(), servers[1].name());
    }
    assert_eq!(pools::endpoint(gateway.admin, &name).await["barred"], "draining");
    assert_eq!(client::post(gateway.admin, &format!("/un{}", &path[1..]), &json!({})).await.status, 200);
    until("it is used again", || async { gateway.complete(MODEL, 1).await.endpoint() == name }).await;
}
