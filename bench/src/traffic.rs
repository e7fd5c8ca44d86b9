//! The load: chat completions over kept-alive connections, in closed or open loop, and streams.
//!
//! Plain sockets and as little work per request as can be, because the load shares the machine with what is measured.
//! Every answer must be a 200: anything else ends the measurement. Knows no front.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::backend::{CHUNK_MARK, MODEL};

const WORDS: &str = "a roadstead is where ships wait at anchor until a berth is free for them, and ";
/// Digits that make a prompt differ from all others.
const NUMBER_DIGITS: usize = 12;
const READ_BYTES: usize = 64 * 1024;
/// How long a front may take until it answers.
const READY_MAX: Duration = Duration::from_secs(15);
/// Latencies are kept in microseconds up to a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Length of a request's body.
    pub body_bytes: usize,
    /// Whether no two prompts are the same.
    pub unique: bool,
    /// Chunks of the answer, if it is to be streamed.
    pub chunks: Option<u32>,
}

/// A request with a number in its prompt that can be changed in place.
#[derive(Clone)]
struct Request {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Request {
    fn new(address: SocketAddr, shape: &Shape) -> Request {
        let stream =
            shape.chunks.map_or(String::new(), |chunks| format!("\"stream\":true,\"max_tokens\":{chunks},"));
        let start =
            format!("{{\"model\":\"{MODEL}\",{stream}\"messages\":[{{\"role\":\"user\",\"content\":\"");
        let end = "\"}]}";
        let number_at = start.len();
        let fill = shape.body_bytes.saturating_sub(start.len() + NUMBER_DIGITS + end.len());
        let text: String = WORDS.chars().cycle().take(fill).collect();
        let body = format!("{start}{:0NUMBER_DIGITS$}{text}{end}", 0);
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nuser-agent: bench\r\naccept: */*\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Request { number_at: head.len() + number_at, bytes: (head + &body).into_bytes() }
    }

    fn set_number(&mut self, number: u64) {
        let text = format!("{number:0NUMBER_DIGITS$}");
        self.bytes[self.number_at..self.number_at + NUMBER_DIGITS].copy_from_slice(text.as_bytes());
    }
}

/// A kept-alive connection.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpSocket::new_v4()?.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, read: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a request and reads its answer whole.
    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.read.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the connection was closed");
            if is_whole(&self.read) {
                break;
            }
        }
        let line = self.read.split(|byte| *byte == b'\r').next().unwrap_or_default();
        ensure!(line.starts_with(b"HTTP/1.1 200"), "answered {}", String::from_utf8_lossy(&self.read));
        Ok(())
    }
}

/// Whether an answer has arrived whole.
fn is_whole(read: &[u8]) -> bool {
    let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = read[..end].to_ascii_lowercase();
    let name = b"content-length:";
    let Some(at) = head.windows(name.len()).position(|bytes| bytes == name) else {
        return read.ends_with(b"0\r\n\r\n");
    };
    let value = head[at + name.len()..].split(|byte| *byte == b'\r').next().unwrap_or_default();
    let length = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<usize>().ok());
    read.len() >= end + 4 + length.unwrap_or(0)
}

/// Numbers of prompts: they go on from one measurement to the next, so that unique prompts stay unique.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Sends `count` requests over `connections`, each as soon as its connection has its answer.
///
/// # Errors
/// A request was not answered with a 200.
pub async fn closed(address: SocketAddr, connections: u32, count: u64, shape: Shape) -> anyhow::Result<()> {
    let left = Arc::new(AtomicU64::new(count));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let left = left.clone();
        let mut request = Request::new(address, &shape);
        let mut connection = Connection::open(address).await?;
        tasks.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                if shape.unique {
                    request.set_number(NUMBERS.fetch_add(1, Ordering::Relaxed));
                }
                connection.exchange(&request.bytes).await?;
            }
            anyhow::Ok(())
        });
    }
    all(tasks).await
}

/// Sends requests at `rate` a second for `time`, spread over `connections`, and returns their latencies in microseconds.
/// A request whose connection is still busy when it is due counts from when it was due.
///
/// # Errors
/// A request was not answered with a 200.
pub async fn open(
    address: SocketAddr,
    connections: u32,
    rate: f64,
    time: Duration,
    shape: Shape,
) -> anyhow::Result<Histogram<u64>> {
    let begin = Instant::now();
    let count = (rate * time.as_secs_f64()) as u64;
    let mut tasks = JoinSet::new();
    for first in 0..u64::from(connections) {
        let mut request = Request::new(address, &shape);
        let mut connection = Connection::open(address).await?;
        tasks.spawn(async move {
            let mut latencies = histogram()?;
            for number in (first..count).step_by(connections as usize) {
                let due = begin + Duration::from_secs_f64(number as f64 / rate);
                let late = Instant::now() > due;
                tokio::time::sleep_until(due.into()).await;
                let from = if late { due } else { Instant::now() };
                if shape.unique {
                    request.set_number(NUMBERS.fetch_add(1, Ordering::Relaxed));
                }
                connection.exchange(&request.bytes).await?;
                latencies.saturating_record(from.elapsed().as_micros() as u64);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = histogram()?;
    while let Some(done) = tasks.join_next().await {
        latencies.add(done??)?;
    }
    Ok(latencies)
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?)
}

/// Streams that are read until they are dropped.
pub struct Streams {
    seen: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl Streams {
    /// Opens `count` streams, the begin of each a little after the one before.
    ///
    /// # Errors
    /// A connection could not be opened.
    pub async fn start(address: SocketAddr, count: u32, shape: Shape) -> anyhow::Result<Streams> {
        let (seen, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let mut request = Request::new(address, &shape);
            request.set_number(NUMBERS.fetch_add(1, Ordering::Relaxed));
            let connection = Connection::open(address).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
            let (seen, broken) = (seen.clone(), broken.clone());
            tasks.spawn(async move {
                let end = follow(connection, &request.bytes, &seen).await;
                broken.store(true, Ordering::Relaxed);
                end
            });
        }
        Ok(Streams { seen, broken, _tasks: tasks })
    }

    /// Chunks that have arrived so far.
    ///
    /// # Errors
    /// A stream has ended.
    pub fn chunks(&self) -> anyhow::Result<u64> {
        ensure!(!self.broken.load(Ordering::Relaxed), "a stream ended while it was measured");
        Ok(self.seen.load(Ordering::Relaxed))
    }
}

/// Reads an answer to its end and counts its chunks.
async fn follow(mut connection: Connection, request: &[u8], seen: &AtomicU64) -> anyhow::Result<()> {
    connection.stream.write_all(request).await?;
    loop {
        connection.read.clear();
        if connection.stream.read_buf(&mut connection.read).await? == 0 {
            bail!("the connection was closed");
        }
        let marks = connection.read.iter().filter(|byte| **byte == CHUNK_MARK).count();
        seen.fetch_add(marks as u64, Ordering::Relaxed);
        if connection.read.ends_with(b"0\r\n\r\n") {
            return Ok(());
        }
    }
}

/// Waits until `address` answers a completion.
///
/// # Errors
/// It does not within the time that a front may take.
pub fn wait_ready(address: SocketAddr) -> anyhow::Result<()> {
    let shape = Shape { body_bytes: 200, unique: false, chunks: None };
    runtime()?.block_on(async {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let answered = closed(address, 1, 1, shape).await;
            if answered.is_ok() || Instant::now() > deadline {
                return answered.context("the front is not ready");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

/// The runtime that sends load: one thread.
///
/// # Errors
/// It could not be made.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn all(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
