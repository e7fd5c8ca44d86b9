//! Model servers that cost as little as possible: what is measured is what stands before them.
//!
//! One child process listens on any number of ports. It answers scrapes with a captured vLLM page, completions at once
//! or as a paced stream of `max_tokens` chunks, and reads no more of a request than it must. It knows nothing of who asks.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use roadstead_net::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};

use crate::process::Process;

/// Occurs once in each chunk of a stream, and nowhere else in it.
pub const CHUNK_MARK: u8 = b'~';
/// Name of the model that is served.
pub const MODEL: &str = "tiny";

const IDLE_PAGE: &str = include_str!("../../crates/wire/tests/fixtures/metrics-idle.txt");
const LOADED_PAGE: &str = include_str!("../../crates/wire/tests/fixtures/metrics-loaded.txt");
const MODELS: &str = include_str!("../../crates/wire/tests/fixtures/models.json");
/// The captured server had room for 16 k tokens; this is the room of an 8B model on an 80 GB accelerator.
const CAPTURED_ROOM: [&str; 2] = ["num_gpu_blocks=\"512\"", "block_size=\"32\""];
const ROOM: [&str; 2] = ["num_gpu_blocks=\"27701\"", "block_size=\"16\""];
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1795373232,"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"A roadstead is where ships wait for a berth."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"total_tokens":62,"completion_tokens":12}}"#;
const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
const CHUNK: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795373232,"model":"tiny","choices":[{"index":0,"delta":{"content":" word~"},"logprobs":null,"finish_reason":null}]}"#;
const LAST_CHUNKS: &str = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
const CHUNK_INTERVAL: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 64 * 1024;

#[derive(clap::Args)]
pub struct Args {
    /// How many ports to listen on.
    #[arg(long, default_value_t = 1)]
    ports: u16,
    /// Which captured metrics page scrapes get.
    #[arg(long, value_enum, default_value = "idle")]
    page: Page,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Page {
    Idle,
    Loaded,
}

/// The child process.
pub struct Backends {
    _process: Process,
    pub addresses: Vec<SocketAddr>,
}

impl Backends {
    /// Starts a child that listens on `ports` ports.
    ///
    /// # Errors
    /// It did not start.
    pub fn start(ports: u16, page: Page) -> anyhow::Result<Backends> {
        let page = match page {
            Page::Idle => "idle",
            Page::Loaded => "loaded",
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["backend", "--ports", &ports.to_string(), "--page", page]).stdout(Stdio::piped());
        let mut process = Process::start("the backend", &mut command)?;
        let stdout = process.child().stdout.take().context("no pipe to the backend")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let addresses = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Backends { _process: process, addresses })
    }
}

/// Serves until it is killed.
///
/// # Errors
/// A port could not be opened.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answers = Arc::new(Answers::new(args.page));
        let mut addresses = String::new();
        let mut servers = tokio::task::JoinSet::new();
        for _ in 0..args.ports {
            let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
            write!(addresses, "{} ", listener.local_addr()?)?;
            let answers = answers.clone();
            servers.spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await;
                    tokio::spawn(serve(stream, answers.clone()));
                }
            });
        }
        println!("{addresses}");
        while servers.join_next().await.is_some() {}
        Ok(())
    })
}

/// Whole answers, made once.
struct Answers {
    page: Vec<u8>,
    models: Vec<u8>,
    completion: Vec<u8>,
    empty: Vec<u8>,
    chunk: Vec<u8>,
}

impl Answers {
    fn new(page: Page) -> Answers {
        let page = match page {
            Page::Idle => IDLE_PAGE,
            Page::Loaded => LOADED_PAGE,
        };
        let page = page.replace(CAPTURED_ROOM[0], ROOM[0]).replace(CAPTURED_ROOM[1], ROOM[1]);
        let whole = |kind: &str, body: &str| {
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
            (head + body).into_bytes()
        };
        Answers {
            page: whole("text/plain; version=0.0.4; charset=utf-8", &page),
            models: whole("application/json", MODELS),
            completion: whole("application/json", ANSWER),
            empty: whole("text/plain", ""),
            chunk: format!("{:x}\r\n{CHUNK}\n\n\r\n", CHUNK.len() + 2).into_bytes(),
        }
    }
}

async fn serve(mut stream: TcpStream, answers: Arc<Answers>) {
    let mut read = Vec::with_capacity(READ_BYTES);
    while let Some(request) = next_request(&mut stream, &mut read).await {
        let sent = match request {
            Asked::Metrics => stream.write_all(&answers.page).await,
            Asked::Models => stream.write_all(&answers.models).await,
            Asked::Completion => stream.write_all(&answers.completion).await,
            Asked::Other => stream.write_all(&answers.empty).await,
            Asked::Stream(chunks) => paced(&mut stream, &answers, chunks).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

enum Asked {
    Metrics,
    Models,
    Completion,
    Stream(u32),
    Other,
}

/// Reads one request whole; none once the client is gone.
async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Asked> {
    read.clear();
    let body_at = loop {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&read[..body_at]).to_ascii_lowercase();
    let length =
        head.split("content-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    let end = body_at + length.unwrap_or(0);
    while read.len() < end {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    Some(match path {
        "/metrics" => Asked::Metrics,
        "/v1/models" => Asked::Models,
        _ if head.starts_with("post ") => completion(&read[body_at..]),
        _ => Asked::Other,
    })
}

/// The fields that decide stand first in the bodies that `traffic` sends.
fn completion(body: &[u8]) -> Asked {
    let start = String::from_utf8_lossy(&body[..body.len().min(128)]);
    if !start.contains("\"stream\":true") {
        return Asked::Completion;
    }
    let chunks = start.split("\"max_tokens\":").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
    Asked::Stream(chunks.unwrap_or(1))
}

async fn paced(stream: &mut TcpStream, answers: &Answers, chunks: u32) -> std::io::Result<()> {
    stream.write_all(STREAM_HEAD.as_bytes()).await?;
    let mut ticks = interval(CHUNK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..chunks {
        ticks.tick().await;
        stream.write_all(&answers.chunk).await?;
    }
    stream.write_all(LAST_CHUNKS.as_bytes()).await
}
