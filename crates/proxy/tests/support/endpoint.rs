//! An endpoint that follows a script, byte by byte.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use roadstead_net::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{loopback, until};

/// A request as the endpoint got it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Request line and headers.
    pub head: String,
    /// The body, chunks joined.
    pub body: String,
    /// The trailers of a chunked body.
    pub trailers: String,
}

impl Seen {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// An endpoint; stops when dropped.
pub struct Endpoint {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    open: AtomicUsize,
}

/// One connection to an endpoint.
pub struct Conversation {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Plays `script` on every connection, and closes it after that.
    pub fn start<S, F>(script: S) -> Endpoint
    where
        S: Fn(Conversation) -> F + Send + Sync + 'static,
        F: Future<Output = Option<()>> + Send + 'static,
    {
        let listener = Listener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let sharing = shared.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await;
                sharing.open.fetch_add(1, Ordering::SeqCst);
                let talk = Conversation { stream, buffer: Vec::new(), shared: sharing.clone() };
                tokio::spawn(script(talk));
            }
        });
        Endpoint { addr, shared, task }
    }

    /// Answers every request with `bytes`, and keeps the connection.
    pub fn answering(bytes: impl Into<String>) -> Endpoint {
        let bytes = bytes.into();
        Endpoint::start(move |mut talk| {
            let bytes = bytes.clone();
            async move {
                loop {
                    talk.request().await?;
                    talk.send(&bytes).await?;
                }
            }
        })
    }

    /// Takes every request, says `bytes` and closes.
    pub fn breaking_after(bytes: impl Into<String>) -> Endpoint {
        let bytes = bytes.into();
        Endpoint::start(move |mut talk| {
            let bytes = bytes.clone();
            async move {
                talk.request().await?;
                talk.send(&bytes).await
            }
        })
    }

    /// Takes every request and never says a word.
    pub fn mute() -> Endpoint {
        Endpoint::start(|mut talk| async move {
            talk.request().await?;
            talk.closed().await
        })
    }

    /// Accepts no connection: an address where nobody listens.
    pub fn absent() -> SocketAddr {
        Listener::bind(loopback()).unwrap().local_addr().unwrap()
    }

    /// The requests that came so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// Waits until `count` requests have come.
    pub async fn saw(&self, count: usize) {
        until(|| self.shared.seen.lock().len() >= count).await;
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Conversation {
    /// The next request, read whole; `None` when the client has gone.
    pub async fn request(&mut self) -> Option<Seen> {
        let seen = self.read_request().await?;
        self.shared.seen.lock().push(seen.clone());
        Some(seen)
    }

    /// The next request's head; its body is left to [`Conversation::chunk`].
    pub async fn head(&mut self) -> Option<Seen> {
        let head = self.until_text("\r\n\r\n").await?;
        let seen = Seen { head, ..Seen::default() };
        self.shared.seen.lock().push(seen.clone());
        Some(seen)
    }

    /// The next chunk of a chunked body; empty at its end.
    pub async fn chunk(&mut self) -> Option<String> {
        let size = self.until_text("\r\n").await?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(String::new());
        }
        let data = self.take(size + 2).await?;
        Some(data[..size].to_owned())
    }

    /// Says `text`.
    pub async fn send(&mut self, text: &str) -> Option<()> {
        self.stream.write_all(text.as_bytes()).await.ok()
    }

    /// Waits until the other side closes.
    pub async fn closed(&mut self) -> Option<()> {
        let mut rest = [0; 1024];
        while self.stream.read(&mut rest).await.ok()? > 0 {}
        Some(())
    }

    /// Resets the connection instead of closing it.
    pub fn reset(self) {
        // Zero linger turns the close into a reset.
        let _ = socket_linger_zero(&self.stream);
    }

    async fn read_request(&mut self) -> Option<Seen> {
        let head = self.until_text("\r\n\r\n").await?;
        let mut seen = Seen { head, ..Seen::default() };
        if seen.header("transfer-encoding").is_some() {
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                seen.body.push_str(&chunk);
            }
            loop {
                let line = self.until_text("\r\n").await?;
                if line == "\r\n" {
                    break;
                }
                seen.trailers.push_str(&line);
            }
        } else if let Some(length) = seen.header("content-length") {
            let length = length.parse().ok()?;
            seen.body = self.take(length).await?;
        }
        Some(seen)
    }

    async fn until_text(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end.as_bytes()) {
                return self.take(at + end.len()).await;
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn take(&mut self, count: usize) -> Option<String> {
        while self.buffer.len() < count {
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
        let rest = self.buffer.split_off(count);
        let taken = std::mem::replace(&mut self.buffer, rest);
        Some(String::from_utf8_lossy(&taken).into_owned())
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn socket_linger_zero(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_zero_linger()
}
