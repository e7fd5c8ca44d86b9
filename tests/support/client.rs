//! A plain HTTP client: one connection per request, streams event by event, and raw bytes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

/// Names the endpoint that answered.
pub const SERVED_BY: &str = "x-roadstead-endpoint";

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub head: HeaderMap,
    pub body: String,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Stream {
    pub status: StatusCode,
    pub head: HeaderMap,
    body: Incoming,
    read: Vec<u8>,
}

/// What went wrong between here and there.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

impl Answer {
    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.head.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The endpoint that answered.
    pub fn endpoint(&self) -> &str {
        self.header(SERVED_BY)
    }
}

impl Stream {
    /// The endpoint that answers.
    pub fn endpoint(&self) -> &str {
        self.head.get(SERVED_BY).map_or("", |value| value.to_str().unwrap())
    }

    /// The data of the next event; `None` at the end, an error where the connection broke.
    pub async fn next(&mut self) -> Result<Option<String>, Broken> {
        loop {
            if let Some(end) = self.read.windows(2).position(|window| window == b"\n\n") {
                let event = String::from_utf8(self.read[..end].to_vec())?;
                self.read.drain(..end + 2);
                return Ok(Some(event.strip_prefix("data: ").unwrap_or(&event).to_owned()));
            }
            match soon(self.body.frame()).await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// The data of all further events.
    pub async fn rest(mut self) -> Result<Vec<String>, Broken> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }

    /// The rest of the body, whatever it is, with its trailers.
    pub async fn whole(self) -> Result<(Answer, Option<HeaderMap>), Broken> {
        let Stream { status, head, body, mut read } = self;
        let collected = soon(body.collect()).await?;
        let trailers = collected.trailers().cloned();
        read.extend_from_slice(&collected.to_bytes());
        let body = String::from_utf8_lossy(&read).into_owned();
        Ok((Answer { status, head, body }, trailers))
    }
}

/// A request with a JSON body.
pub fn request(method: Method, path: &str, fields: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "gateway.example");
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

/// A connection.
pub async fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    #[allow(clippy::disallowed_methods)] // a client as others write it
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request; the body is still to come. Waits as long as it takes.
pub async fn open(to: SocketAddr, request: Request<Full<Bytes>>) -> Result<Stream, Broken> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(connect(to).await?)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Stream { status: head.status, head: head.headers, body, read: Vec::new() })
}

/// Sends a request and reads the whole answer.
pub async fn send(to: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, Broken> {
    Ok(soon(open(to, request)).await?.whole().await?.0)
}

/// Gets a page.
pub async fn get(from: SocketAddr, path: &str) -> Answer {
    send(from, request(Method::GET, path, &[], "")).await.unwrap()
}

/// Posts JSON.
pub async fn post(to: SocketAddr, path: &str, body: &Value) -> Answer {
    send(to, request(Method::POST, path, &[], &body.to_string())).await.unwrap()
}

/// Posts JSON with further header fields.
pub async fn post_with(to: SocketAddr, path: &str, fields: &[(&str, &str)], body: &Value) -> Answer {
    send(to, request(Method::POST, path, fields, &body.to_string())).await.unwrap()
}

/// Posts JSON; the answer is a stream, and its head has come.
pub async fn stream(to: SocketAddr, path: &str, body: &Value) -> Stream {
    soon(open(to, request(Method::POST, path, &[], &body.to_string()))).await.unwrap()
}

/// Sends `bytes` on a connection of their own and reads what comes until the other side closes, within `limit`.
/// `close` ends our side after the bytes.
pub async fn raw(to: SocketAddr, bytes: &[u8], close: bool, limit: Duration) -> String {
    let (mut read, mut write) = connect(to).await.unwrap().into_split();
    let bytes = bytes.to_vec();
    // The other side may answer before it has read everything, or stop reading.
    let sending = tokio::spawn(async move {
        let _ = write.write_all(&bytes).await;
        if close {
            let _ = write.shutdown().await;
        }
        write
    });
    let mut said = Vec::new();
    let until = Instant::now() + limit;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, read.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => said.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    sending.abort();
    String::from_utf8_lossy(&said).into_owned()
}
