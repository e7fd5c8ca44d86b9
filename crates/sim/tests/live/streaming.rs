//! Streams: what comes, in which order, and what happens when the reader goes away.

use crate::client::{config, metric, start, stream, until_metric};

const RUNNING: &str = "vllm:num_requests_running{";
const WAITING: &str = "vllm:num_requests_waiting{";
const KV_USAGE: &str = "vllm:kv_cache_usage_perc{";

#[tokio::test]
async fn a_stream_has_one_event_a_token_and_ends_with_done() {
    let server = start(config()).await;
    let body = r#"{"model":"tiny","prompt":"hello","max_tokens":20,"stream":true,"ignore_eos":true}"#;
    let events = stream(&server, "/v1/completions", body).await.rest().await.unwrap();
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
    let mut open = stream(&server, "/v1/completions", body).await;
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
