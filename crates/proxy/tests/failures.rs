//! Endpoints that fail. A request is sent elsewhere while nothing has reached its client, and an answer that
//! breaks off never looks whole.

use std::time::Duration;

use roadstead_core::{EndpointId, Refusal};
use roadstead_picker::{Fact, Limits};
use roadstead_proxy::ProxyLimits;

use crate::support::gateway::hasty;
use crate::support::*;

/// What a completion gets when the first endpoint it reaches is `ill` and another one is well.
async fn served_elsewhere(ill: Endpoint) {
    let well = Endpoint::answering(fine());
    let gateway = Gateway::before(&[&ill, &well]);
    let mut client = gateway.client().await;
    for _ in 0..2 {
        let got = client.ask(&completion("")).await;
        assert_eq!((got.status, got.header("x-roadstead-endpoint")), (200, Some("endpoint-1")), "{got:?}");
        gateway.settled().await;
    }
    assert!(!ill.seen().is_empty(), "the ill endpoint was never tried");
    let attempts: Vec<_> = gateway.log(2).await.iter().map(|line| line["attempts"].clone()).collect();
    assert!(attempts.contains(&2.into()), "{attempts:?}");
}

#[tokio::test]
async fn an_endpoint_that_resets_before_its_answer() {
    served_elsewhere(Endpoint::start(|mut talk| async move {
        talk.request().await?;
        talk.reset();
        None
    }))
    .await;
}

#[tokio::test]
async fn an_endpoint_that_closes_in_the_middle_of_its_head() {
    served_elsewhere(Endpoint::breaking_after("HTTP/1.1 200 OK\r\ncontent-")).await;
}

#[tokio::test]
async fn an_endpoint_that_breaks_between_head_and_first_byte() {
    served_elsewhere(Endpoint::breaking_after(STREAM_HEAD)).await;
}

#[tokio::test]
async fn an_endpoint_that_answers_garbage() {
    served_elsewhere(Endpoint::breaking_after("\u{1}\u{2}garbage\r\n\r\n")).await;
}

#[tokio::test]
async fn an_endpoint_that_sends_malformed_chunks_from_the_start() {
    served_elsewhere(Endpoint::breaking_after(format!("{STREAM_HEAD}zz\r\n"))).await;
}

#[tokio::test]
async fn an_endpoint_that_is_overloaded() {
    served_elsewhere(Endpoint::answering(answer("503 Service Unavailable", "{}"))).await;
}

#[tokio::test]
async fn an_endpoint_that_accepts_no_connection() {
    let well = Endpoint::answering(fine());
    let gateway =
        Gateway::limited(&[Endpoint::absent(), well.addr], ProxyLimits::default(), Limits::default());
    let mut client = gateway.client().await;
    for request in [completion(""), "GET /version HTTP/1.1\r\nhost: gw\r\n\r\n".to_owned(), completion("")] {
        assert_eq!(client.ask(&request).await.status, 200);
    }
    assert_eq!(well.seen().len(), 3);
    gateway.settled().await;
}

#[tokio::test]
async fn an_upload_that_passes_is_sent_elsewhere_if_no_byte_of_it_was_taken() {
    for upload in [
        "PUT /f HTTP/1.1\r\nhost: gw\r\ncontent-length: 3\r\n\r\nabc",
        "PUT /f HTTP/1.1\r\nhost: gw\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let well = Endpoint::answering(fine());
        let gateway =
            Gateway::limited(&[Endpoint::absent(), well.addr], ProxyLimits::default(), Limits::default());
        assert_eq!(gateway.client().await.ask(upload).await.status, 200);
        assert_eq!(gateway.client().await.ask(upload).await.status, 200);
        assert_eq!(well.seen().iter().map(|seen| seen.body.as_str()).collect::<Vec<_>>(), ["abc", "abc"]);
        gateway.settled().await;
    }
}

#[tokio::test]
async fn a_request_that_is_no_inference_is_not_repeated_when_it_may_have_been_processed() {
    let (ill, well) = (Endpoint::breaking_after(""), Endpoint::answering(fine()));
    let gateway = Gateway::before(&[&ill, &well]);
    let mut client = gateway.client().await;
    let request = post("/v1/load_lora_adapter", r#"{"lora_name":"x"}"#);
    let mut statuses = [client.ask(&request).await.status, client.ask(&request).await.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
    assert_eq!((ill.seen().len(), well.seen().len()), (1, 1));
    gateway.settled().await;
}

#[tokio::test]
async fn when_all_are_overloaded_the_endpoints_own_words_pass() {
    let words = r#"{"error":{"message":"engine is asleep"}}"#;
    let busy = || {
        Endpoint::answering(format!(
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: {}\r\n\r\n{words}",
            words.len()
        ))
    };
    let (one, two) = (busy(), busy());
    let gateway = Gateway::before(&[&one, &two]);
    let mut client = gateway.client().await;
    let got = client.ask(&completion("")).await;
    assert_eq!((got.status, got.body.as_str()), (503, words));
    assert_eq!(got.header("retry-after"), Some("7"));
    assert_eq!((one.seen().len(), two.seen().len()), (1, 1));
    gateway.settled().await;
    assert_eq!(client.ask(&completion("")).await.status, 503);
}

#[tokio::test]
async fn when_all_fail_the_client_gets_a_clear_error() {
    let (one, two) = (Endpoint::breaking_after(""), Endpoint::breaking_after(""));
    let gateway = Gateway::before(&[&one, &two]);
    let mut client = gateway.client().await;
    let got = client.ask(&completion("")).await;
    assert_eq!((got.status, got.error("code")), (502, "endpoint_failed".into()));
    gateway.settled().await;
    assert_eq!(gateway.log(1).await[0]["error"], "endpoint_failed");
}

#[tokio::test]
async fn an_endpoints_500_passes_untouched_and_is_not_repeated() {
    let words = r#"{"error":{"message":"CUDA error"}}"#;
    let (ill, other) =
        (Endpoint::answering(answer("500 Internal Server Error", words)), Endpoint::answering(fine()));
    let gateway = Gateway::before(&[&ill, &other]);
    let mut client = gateway.client().await;
    let got = [client.ask(&completion("")).await, client.ask(&completion("")).await];
    let failed: Vec<_> = got.iter().filter(|got| got.status == 500).collect();
    assert_eq!((failed.len(), failed[0].body.as_str()), (1, words));
    assert_eq!((ill.seen().len(), other.seen().len()), (1, 1));
    gateway.settled().await;
}

/// What a client has got when an answer of `bytes` broke off; it must not look whole.
async fn broken_off(bytes: &str, stream: &str) -> String {
    let endpoint = Endpoint::breaking_after(bytes);
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    client.send(&completion(stream)).await;
    let got = client.rest().await;
    gateway.settled().await;
    assert_eq!(gateway.log(1).await[0]["error"], "endpoint_truncated");
    assert_eq!(endpoint.seen().len(), 1, "an answer that had begun was asked for again");
    got
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_cut_for_the_client_too() {
    let event = "data: {\"choices\":[{\"text\":\"x\"}]}\n\n";
    let got = broken_off(&format!("{STREAM_HEAD}{}", chunk(event)), r#","stream":true"#).await;
    assert!(got.contains(event), "{got}");
    assert!(!got.contains("[DONE]") && !got.ends_with("0\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn an_answer_shorter_than_its_length_is_cut_for_the_client_too() {
    let got = broken_off("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", "").await;
    assert!(got.contains("content-length: 100") && got.ends_with("short"), "{got}");
}

#[tokio::test]
async fn an_answer_longer_than_its_length_ends_there_and_spoils_nothing() {
    let endpoint = Endpoint::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}surplus");
    let gateway = Gateway::before(&[&endpoint]);
    let mut client = gateway.client().await;
    for _ in 0..3 {
        let got = client.ask(&completion("")).await;
        assert_eq!((got.status, got.body.as_str()), (200, "{}"));
    }
    gateway.settled().await;
}

#[tokio::test]
async fn a_hung_endpoint_loses_its_request_to_another_one() {
    for hang in ["", STREAM_HEAD] {
        let ill = Endpoint::start(move |mut talk| async move {
            talk.request().await?;
            talk.send(hang).await?;
            talk.closed().await
        });
        let well = Endpoint::answering(fine());
        let gateway = Gateway::limited(&[ill.addr, well.addr], ProxyLimits::default(), hasty());
        let mut clients = [gateway.client().await, gateway.client().await];
        for client in &mut clients {
            client.send(&completion("")).await;
        }
        ill.saw(1).await;
        gateway.observe(Fact::Silent(EndpointId(0)));
        for client in &mut clients {
            let got = client.answer().await;
            assert_eq!((got.status, got.header("x-roadstead-endpoint")), (200, Some("endpoint-1")));
        }
        until(|| ill.open() == 0).await;
        gateway.settled().await;
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_at_its_limit() {
    let endpoint = Endpoint::mute();
    let limits = ProxyLimits { answer_timeout: Duration::from_millis(100), ..ProxyLimits::default() };
    let gateway = Gateway::limited(&[endpoint.addr], limits, Limits::default());
    let got = gateway.client().await.ask(&completion("")).await;
    let status = Refusal::UpstreamTimeout.status();
    assert_eq!((got.status, got.error("code")), (status.http, status.code.into()));
    gateway.settled().await;
    until(|| endpoint.open() == 0).await;
}

#[tokio::test]
async fn an_answer_that_falls_silent_is_cut_for_the_client_too() {
    let endpoint = Endpoint::start(|mut talk| async move {
        talk.request().await?;
        talk.send(STREAM_HEAD).await?;
        talk.send(&chunk("data: {\"choices\":[{\"text\":\"x\"}]}\n\n")).await?;
        talk.closed().await
    });
    let limits = ProxyLimits { stall_timeout: Duration::from_millis(100), ..ProxyLimits::default() };
    let gateway = Gateway::limited(&[endpoint.addr], limits, Limits::default());
    let mut client = gateway.client().await;
    client.send(&completion(r#","stream":true"#)).await;
    let got = client.rest().await;
    assert!(got.contains("data: ") && !got.ends_with("0\r\n\r\n"), "{got}");
    until(|| endpoint.open() == 0).await;
    gateway.settled().await;
    assert_eq!(gateway.log(1).await[0]["error"], "endpoint_stalled");
}
