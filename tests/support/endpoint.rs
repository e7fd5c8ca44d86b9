//! A model server of the story's own: it records what it is asked and answers with the bytes it was given.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::MODEL;

const PAGE: &str = "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 0.0\n\
    vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.0\n";

/// A server that ends when this is dropped.
pub struct Endpoint {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _accepting: JoinSet<()>,
}

/// One request for inference.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    pub body: String,
}

impl Seen {
    /// A header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.next().map_or("", |(_, value)| value)
    }
}

impl Endpoint {
    /// A server that answers every POST with these bytes and then closes the connection.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Endpoint {
        let answer: Arc<[u8]> = answer.into().into();
        #[allow(clippy::disallowed_methods)] // no server of ours
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut accepting = JoinSet::new();
        let all = seen.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(talk(connection, answer.clone(), all.clone()));
            }
        });
        Endpoint { address, seen, _accepting: accepting }
    }

    /// The requests for inference so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

async fn talk(mut connection: TcpStream, answer: Arc<[u8]>, all: Arc<Mutex<Vec<Seen>>>) {
    while let Some(seen) = request(&mut connection).await {
        let post = seen.head.starts_with("POST ");
        let said: Vec<u8> = if post {
            all.lock().push(seen);
            answer.to_vec()
        } else if seen.head.starts_with("GET /v1/models") {
            page("application/json", &format!(r#"{{"object":"list","data":[{{"id":"{MODEL}"}}]}}"#))
        } else {
            page("text/plain", PAGE)
        };
        if connection.write_all(&said).await.is_err() || post {
            return;
        }
    }
}

fn page(kind: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

/// The next request with the body whose length it announces; `None` at the end.
async fn request(connection: &mut TcpStream) -> Option<Seen> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let mut seen = Seen { head, body: String::new() };
            let length: usize = seen.header("content-length").parse().unwrap_or(0);
            if read.len() >= end + 4 + length {
                seen.body = String::from_utf8_lossy(&read[end + 4..end + 4 + length]).into_owned();
                return Some(seen);
            }
        }
        match connection.read_buf(&mut read).await {
            Ok(count) if count > 0 => {}
            _ => return None,
        }
    }
}
