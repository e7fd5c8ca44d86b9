//! A model server of a few lines over raw sockets, so that it can also break the protocol.

use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with every request.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// Streams `tokens` tokens, the first after one wait, the others after another.
    Stream { tokens: u32, first: Duration, gap: Duration },
    /// Answers in one piece.
    Unary,
    /// Streams two tokens and ends the body without the end mark.
    NoEndMark,
    /// Streams two tokens and closes inside the chunked body.
    CutBody,
    /// Streams two tokens and an error event.
    ErrorEvent,
    /// Reads the request and resets the connection.
    Reset,
    /// Answers with this status.
    Status(u16),
    /// Answers with bytes that are no HTTP.
    Garbage,
    /// Never answers.
    Silent,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub connection: usize,
    pub head: String,
    pub body: serde_json::Value,
}

/// The running server; it ends when dropped.
pub struct Fake {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    accept: JoinHandle<()>,
}

impl Fake {
    #[allow(
        clippy::disallowed_methods,
        reason = "this crate may not use net's listener in a test of raw bytes"
    )]
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let accept = tokio::spawn({
            let seen = seen.clone();
            async move {
                let mut tasks = tokio::task::JoinSet::new();
                for number in 0.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    tasks.spawn(serve(stream, number, behaviour, seen.clone()));
                }
            }
        });
        Self { address, seen, accept }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn serve(mut stream: TcpStream, connection: usize, behaviour: Behaviour, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = read_request(&mut stream, &mut buffer).await {
        let listing = head.starts_with("GET /v1/models");
        let json = serde_json::from_slice(&body).unwrap_or_default();
        seen.lock().push(Seen { connection, head, body: json });
        let done = if listing {
            reply(&mut stream, 200, "application/json", r#"{"data":[{"id":"listed"}]}"#).await
        } else {
            answer(&mut stream, behaviour).await
        };
        if done.is_none() {
            return;
        }
    }
}

/// Nothing when the connection must end.
async fn answer(stream: &mut TcpStream, behaviour: Behaviour) -> Option<()> {
    match behaviour {
        Behaviour::Stream { tokens, first, gap } => {
            head(stream).await?;
            for token in 0..tokens {
                tokio::time::sleep(if token == 0 { first } else { gap }).await;
                chunk(stream, &event(&format!("t{token:02} "))).await?;
            }
            let usage = format!(
                "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{tokens}}}}}\n\ndata: [DONE]\n\n"
            );
            chunk(stream, &usage).await?;
            stream.write_all(b"0\r\n\r\n").await.ok()
        }
        Behaviour::Unary => {
            let text = r#"{"choices":[{"index":0,"text":"one two"}],"usage":{"prompt_tokens":3,"completion_tokens":7}}"#;
            reply(stream, 200, "application/json", text).await
        }
        Behaviour::NoEndMark | Behaviour::CutBody | Behaviour::ErrorEvent => {
            head(stream).await?;
            chunk(stream, &event("one ")).await?;
            chunk(stream, &event("two ")).await?;
            if matches!(behaviour, Behaviour::ErrorEvent) {
                chunk(stream, "data: {\"error\":{\"message\":\"boom\"}}\n\n").await?;
            }
            if matches!(behaviour, Behaviour::CutBody) {
                return None;
            }
            stream.write_all(b"0\r\n\r\n").await.ok()
        }
        Behaviour::Reset => {
            stream.set_zero_linger().ok()?;
            None
        }
        Behaviour::Status(status) => reply(stream, status, "application/json", r#"{"error":"no"}"#).await,
        Behaviour::Garbage => {
            let _ = stream.write_all(b"what is this?\r\n\r\n").await;
            None
        }
        Behaviour::Silent => std::future::pending().await,
    }
}

fn event(text: &str) -> String {
    format!(
        "data: {{\"id\":\"x\",\"choices\":[{{\"index\":0,\"text\":\"{text}\",\"finish_reason\":null}}]}}\n\n"
    )
}

async fn head(stream: &mut TcpStream) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\
                x-roadstead-endpoint: e1\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()
}

async fn chunk(stream: &mut TcpStream, text: &str) -> Option<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.ok()
}

async fn reply(stream: &mut TcpStream, status: u16, kind: &str, text: &str) -> Option<()> {
    let length = text.len();
    let reply =
        format!("HTTP/1.1 {status} Status\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{text}");
    stream.write_all(reply.as_bytes()).await.ok()
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap().to_lowercase();
            let head = head.replacen("get ", "GET ", 1);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
