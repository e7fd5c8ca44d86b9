//! Streams: what comes, in which order, and what happens when the reader goes away.

use std::net::Ipv4Addr;

use http::Method;
use roadstead_net::Listener;
use roadstead_sim::{Server, start_many};

use crate::client::{config, metric, post, request, send, soon, start, stream, until_metric};

const COMPLETIONS: &str = "/v1/completions";
const RUNNING: &str = "vllm:num_requests_running{";
const WAITING: &str = "vllm:num_requests_waiting{";
const KV_USAGE: &str = "vllm:kv_cache_usage_perc{";

#[tokio::test]
async fn a_stream_has_one_event_a_token_and_ends_with_done() {
    let server = start(config()).await;
    let body = r#"{"model":"tiny","prompt":"hello","max_tokens":20,"stream":true,"ignore_eos":true}"#;
    let events = stream(&server, COMPLETIONS, body).await.rest().await.unwrap();
    assert_eq!(events.len(), 21);
    assert_eq!(events[20], "data: [DONE]");
    assert!(events[18].contains("\"finish_reason\":null"));
    assert!(events[19].contains("\"finish_reason\":\"length\""));
    assert_eq!(metric(&server, "vllm:generation_tokens_total{").await, 20.0);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_engine() {
    let server = start(config()).await;
    let body = r#"{"prompt":"a long one","max_tokens":4000,"stream":true,"ignore_eos":true}"#;
    let mut open = stream(&server, COMPLETIONS, body).await;
    open.next().await.unwrap();
    assert_eq!(metric(&server, RUNNING).await, 1.0);
    drop(open);
    until_metric(&server, RUNNING, 0.0).await;
    assert_eq!(metric(&server, WAITING).await, 0.0);
    assert_eq!(metric(&server, KV_USAGE).await, 0.0);
    assert_eq!(
        metric(&server, "vllm:request_success_total{engine=\"0\",finished_reason=\"abort\"").await,
        1.0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_for_a_whole_answer_frees_the_engine() {
    let server = start(config()).await;
    let body = r#"{"prompt":"a long one","max_tokens":4000,"ignore_eos":true}"#;
    let fields = [("content-type", "application/json")];
    let asked = tokio::spawn(send(server.local_addr(), request(Method::POST, COMPLETIONS, &fields, body)));
    until_metric(&server, RUNNING, 1.0).await;
    asked.abort();
    until_metric(&server, RUNNING, 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_is_in_the_making_and_takes_no_more() {
    let server = start(config()).await;
    let address = server.local_addr();
    let body = r#"{"prompt":"x","max_tokens":200,"stream":true,"ignore_eos":true}"#;
    let mut open = stream(&server, COMPLETIONS, body).await;
    open.next().await.unwrap();
    let stopping = tokio::spawn(server.stop());
    let events = open.rest().await.unwrap();
    assert_eq!(events.last().map(String::as_str), Some("data: [DONE]"));
    soon(stopping).await.unwrap();
    assert!(Listener::bind(address).is_ok(), "the port is free again");
}

#[tokio::test]
async fn aborting_breaks_streams_off() {
    let server = start(config()).await;
    let body = r#"{"prompt":"x","max_tokens":4000,"stream":true,"ignore_eos":true}"#;
    let mut open = stream(&server, COMPLETIONS, body).await;
    open.next().await.unwrap();
    server.abort();
    assert!(open.rest().await.is_err());
}

#[tokio::test]
async fn a_reader_that_lags_misses_nothing_and_delays_nobody() {
    let server = start(config()).await;
    let body = r#"{"prompt":"x","max_tokens":3000,"stream":true,"ignore_eos":true}"#;
    let mut slow = stream(&server, COMPLETIONS, body).await;
    slow.next().await.unwrap();
    let quick = stream(&server, COMPLETIONS, body).await.rest().await.unwrap();
    assert_eq!(quick.len(), 3001);
    until_metric(&server, RUNNING, 0.0).await;
    let rest = slow.rest().await.unwrap();
    assert_eq!(rest.len(), 3000);
    assert_eq!(rest.last().map(String::as_str), Some("data: [DONE]"));
    server.stop().await;
}

#[tokio::test]
async fn many_servers_take_ports_in_a_row_and_say_different_things() {
    let (port, servers) = three_in_a_row().await;
    let mut texts = Vec::new();
    for (server, index) in servers.iter().zip(0..) {
        assert_eq!(server.local_addr().port(), port + index);
        let answer = post(server, COMPLETIONS, r#"{"prompt":"x","max_tokens":10,"ignore_eos":true}"#).await;
        texts.push(answer.json()["choices"][0]["text"].to_string());
    }
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 3);
    for server in servers {
        server.stop().await;
    }
}

/// Looks for three neighbouring ports that nobody else has taken.
async fn three_in_a_row() -> (u16, Vec<Server>) {
    for _ in 0..100 {
        let probe = start(config()).await;
        let port = probe.local_addr().port();
        probe.stop().await;
        if let Ok(servers) = start_many((Ipv4Addr::LOCALHOST, port).into(), 3, config()).await {
            return (port, servers);
        }
    }
    panic!("no three free ports in a row");
}
