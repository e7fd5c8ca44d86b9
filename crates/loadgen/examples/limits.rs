//! How much load the generator makes on one core: requests per second, and streamed chunks per second.
//!
//! `cargo run --release -p roadstead-loadgen --example limits`. The server runs on a thread of its own and does next to
//! nothing; the processor time of the generator's thread is what one request or chunk costs (open loop adds a thread that paces).

#![allow(clippy::unwrap_used, reason = "a measurement without recovery")]

use clap::Parser;
use roadstead_loadgen::report::RowReport;
use roadstead_loadgen::{BenchArgs, Quiet, run};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Gap between two chunks of one stream.
const CHUNK_GAP: Duration = Duration::from_millis(50);

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

fn main() {
    let (told, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || runtime().block_on(serve(&told)));
    let address: SocketAddr = address.recv().unwrap();

    println!("closed loop, one piece");
    measure(address, "--stream false --concurrency 1,16,128 --duration 4s --warmup 1s --output-tokens 1");
    println!("open loop, one piece");
    measure(address, "--stream false --rate 2000,4000,8000,12000,16000 --duration 4s --output-tokens 1");
    println!("open streams with a chunk every 50 ms each");
    measure(address, "--concurrency 200,1000,2000,4000 --duration 8s --warmup 2s --output-tokens 100");
}

fn measure(address: SocketAddr, arguments: &str) {
    let fixed = ["bench", "--url", &format!("http://{address}"), "--model", "m", "--input-tokens", "50"]
        .map(String::from);
    let words: Vec<String> = arguments.split_whitespace().map(String::from).collect();
    let at = words.iter().position(|word| word == "--rate" || word == "--concurrency").unwrap();
    for value in words[at + 1].split(',') {
        let mut words = words.clone();
        words[at + 1] = value.to_owned();
        let plan = Cli::parse_from(fixed.iter().cloned().chain(words)).bench.into_plan().unwrap();
        let before = cpu_s();
        let report = runtime().block_on(run(&plan, CancellationToken::new(), Quiet)).unwrap();
        let row = &report.rows[0];
        println!("  {value:>6}: {}", line(row, cpu_s() - before));
    }
}

fn line(row: &RowReport, cpu_s: f64) -> String {
    let per_chunk = if row.metrics.contains_key("itl_ms") {
        let chunks = row_chunks(row);
        format!(", {:.0} chunks/s, {:.2} µs a chunk", chunks / row.duration_s, 1e6 * cpu_s / chunks)
    } else {
        String::new()
    };
    format!(
        "{:.0} requests/s{per_chunk}, {:.1} µs a request, busy {:.0} %, p50 {:.2} ms, lag p99 {:.2} ms, failed {}, {:?}",
        row.achieved_rate,
        1e6 * cpu_s / row.counts.sent as f64,
        100.0 * cpu_s / row.duration_s,
        row.metrics["e2e_ms"].p50,
        row.metrics["send_lag_ms"].p99,
        row.counts.failed,
        row.flags,
    )
}

/// Chunks of the whole row, warm-up included.
fn row_chunks(row: &RowReport) -> f64 {
    row.counts.sent as f64 * row.metrics["output_tokens"].mean
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Processor time of this thread so far, by Linux' scheduler.
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[allow(clippy::disallowed_methods, reason = "not a listener of the product")]
async fn serve(told: &std::sync::mpsc::Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    told.send(listener.local_addr().unwrap()).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(connection(stream));
    }
}

async fn connection(mut stream: TcpStream) -> Option<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
        // A request ends with its JSON object; the bodies here hold two of them only when they are streamed.
        if !buffer.ends_with(b"}") {
            continue;
        }
        let streamed = buffer.windows(13).any(|w| w == b"\"stream\":true");
        buffer.clear();
        if streamed {
            stream_answer(&mut stream).await?;
        } else {
            let body = r#"{"choices":[{"text":"bab "}],"usage":{"prompt_tokens":50,"completion_tokens":1}}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(head.as_bytes()).await.ok()?;
        }
    }
}

async fn stream_answer(stream: &mut TcpStream) -> Option<()> {
    let event = "data: {\"id\":\"cmpl-98419f151371467d\",\"object\":\"text_completion\",\"created\":1795373233,\
                 \"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\"bab \",\"logprobs\":null,\"finish_reason\":null}]}\n\n";
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut tick = tokio::time::interval(CHUNK_GAP);
    for _ in 0..100 {
        tick.tick().await;
        stream.write_all(chunk.as_bytes()).await.ok()?;
    }
    stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await.ok()
}
