//! Every fault does what it says, and goes away when it is switched off.

use http::Method;
use roadstead_sim::{Faults, Hang, PageFault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Answer, config, get, post, request, send, soon, start, stream};

const COMPLETIONS: &str = "/v1/completions";
const ASK: &str = r#"{"prompt":"x","max_tokens":5,"ignore_eos":true}"#;

async fn try_get(server: &roadstead_sim::Server, path: &str) -> Result<Answer, hyper::Error> {
    send(server.local_addr(), request(Method::GET, path, &[], "")).await
}

#[tokio::test]
async fn inference_fails_with_the_status_asked_for_and_all_else_works() {
    let server = start(config()).await;
    post(&server, "/sim/faults", r#"{"status":500}"#).await;
    let answer = post(&server, COMPLETIONS, ASK).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"]["code"], 500);
    assert_eq!(get(&server, "/health").await.status, 200);
    post(&server, "/sim/faults", "{}").await;
    assert_eq!(post(&server, COMPLETIONS, ASK).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_breaks_after_the_events_asked_for() {
    let mut config = config();
    config.faults.reset_after_events = Some(3);
    let server = start(config).await;
    let body = r#"{"prompt":"x","max_tokens":50,"ignore_eos":true,"stream":true}"#;
    let mut open = stream(&server, COMPLETIONS, body).await;
    for _ in 0..3 {
        assert!(open.next().await.unwrap().unwrap().starts_with("data: {"));
    }
    assert!(open.next().await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_hanging_server_takes_requests_and_never_answers() {
    let server = start(config()).await;
    let address = server.local_addr();
    let ask = || {
        let fields = [("content-type", "application/json")];
        tokio::spawn(send(address, request(Method::POST, COMPLETIONS, &fields, ASK)))
    };
    server.set_faults(Faults { hang: Hang::Inference, ..Faults::default() });
    let asked = ask();
    turns(&server, "/health").await;
    server.set_faults(Faults { hang: Hang::Everything, ..Faults::default() });
    let health = tokio::spawn(send(address, request(Method::GET, "/health", &[], "")));
    turns(&server, "/sim/faults").await;
    assert!(!asked.is_finished() && !health.is_finished());
    server.set_faults(Faults::default());
    assert_eq!(post(&server, COMPLETIONS, ASK).await.status, 200);
    assert!(!asked.is_finished() && !health.is_finished());
    server.abort();
    assert!(soon(asked).await.unwrap().is_err());
    assert!(soon(health).await.unwrap().is_err());
}

#[tokio::test]
async fn a_hanging_server_stops_without_waiting_for_what_it_never_answers() {
    let mut config = config();
    config.faults.hang = Hang::Everything;
    let server = start(config).await;
    let health = tokio::spawn(send(server.local_addr(), request(Method::GET, "/health", &[], "")));
    turns(&server, "/sim/faults").await;
    soon(server.stop()).await;
    assert!(soon(health).await.unwrap().is_err());
}

/// Gives the server time to take what was sent to it before: answers to others, one after the other.
async fn turns(server: &roadstead_sim::Server, path: &str) {
    for _ in 0..20 {
        assert_eq!(get(server, path).await.status, 200);
    }
}

#[tokio::test]
async fn a_wrong_content_length_breaks_the_answer() {
    let mut config = config();
    config.faults.wrong_content_length = true;
    let server = start(config).await;
    let fields = [("content-type", "application/json")];
    assert!(send(server.local_addr(), request(Method::POST, COMPLETIONS, &fields, ASK)).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn metrics_pages_break_in_every_way() {
    let server = start(config()).await;
    let set = |metrics| server.set_faults(Faults { metrics, ..Faults::default() });
    set(PageFault::Half);
    assert!(try_get(&server, "/metrics").await.is_err());
    set(PageFault::Binary);
    let binary = try_get(&server, "/metrics").await.unwrap().body;
    assert!(binary.len() >= 64 * 1024 && !binary.contains("vllm:"));
    set(PageFault::Huge);
    let mut page = stream(&server, "/metrics", "").await;
    let mut seen = 0;
    while seen < 10_000_000 {
        seen += page.skip_frame().await;
    }
    drop(page);
    set(PageFault::Slow);
    let mut page = stream(&server, "/metrics", "").await;
    assert_eq!(page.skip_frame().await, 1024);
    drop(page);
    set(PageFault::None);
    assert!(try_get(&server, "/metrics").await.unwrap().body.contains("vllm:num_requests_running"));
    server.stop().await;
}

#[tokio::test]
async fn garbage_is_no_http_and_can_be_switched_off_again() {
    let server = start(config()).await;
    let address = server.local_addr();
    post(&server, "/sim/faults", r#"{"garbage":true}"#).await;
    soon(async {
        // The port changes hands: a connection may still find the old server or none.
        loop {
            #[allow(clippy::disallowed_methods)] // a client as others write it
            if let Ok(mut raw) = TcpStream::connect(address).await {
                raw.write_all(b"GET /health HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n")
                    .await
                    .unwrap();
                let mut read = Vec::new();
                if raw.read_to_end(&mut read).await.is_ok() && read.starts_with(b"\x16\x03") {
                    break;
                }
            }
        }
    })
    .await;
    assert_eq!(post(&server, "/sim/faults", r#"{"garbage":false}"#).await.status, 200);
    soon(async { while !try_get(&server, "/health").await.is_ok_and(|answer| answer.status == 200) {} })
        .await;
    server.stop().await;
}

#[tokio::test]
async fn unknown_faults_are_refused() {
    let server = start(config()).await;
    for body in [r#"{"statsu":500}"#, r#"{"status":99}"#, "nonsense"] {
        assert_eq!(post(&server, "/sim/faults", body).await.status, 400, "{body}");
    }
    assert_eq!(get(&server, "/sim/faults").await.json()["hang"], "nothing");
    server.stop().await;
}
