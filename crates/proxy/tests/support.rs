//! What the tests share: a gateway, endpoints that follow a script, and clients that speak bytes.

pub mod client;
pub mod endpoint;
pub mod gateway;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use client::Client;
pub use endpoint::Endpoint;
pub use gateway::Gateway;

/// Longest that any test waits for what it expects.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// The result of `future`, which must come in time.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("did not happen in time")
}

/// Waits until `condition` holds.
pub async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A completion request for model `m`.
pub fn completion(extra: &str) -> String {
    post("/v1/completions", &format!(r#"{{"model":"m","prompt":"hello"{extra}}}"#))
}

/// A POST of JSON.
pub fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: gw\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An answer with a length.
pub fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The head of an event stream.
pub const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

/// One chunk of a chunked body.
pub fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The last chunk.
pub const LAST_CHUNK: &str = "0\r\n\r\n";

/// An answer that every client accepts.
pub fn fine() -> String {
    answer("200 OK", r#"{"object":"text_completion","usage":{"prompt_tokens":2,"completion_tokens":3}}"#)
}
