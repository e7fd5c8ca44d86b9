//! What a simulated server costs: CPU time of its process per streamed token and per metrics page.
//!
//! `cargo run --release -p roadstead-sim --example token_cost -- [STREAMS] [SECONDS]`
//!
//! Starts itself a second time as the server, keeps that many endless streams open on it, counts the events that
//! arrive and reads the server's CPU time from `/proc` (Linux only).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roadstead_engine::{EngineConfig, Preset};
use roadstead_sim::{SimConfig, start_many};

const PRESET: &str = "llama-3.1-8b@h100";
/// `_SC_CLK_TCK` on every Linux that matters.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGES: u32 = 2000;

fn main() {
    let mut args = std::env::args().skip(1);
    let first = args.next().unwrap_or_else(|| "200".to_owned());
    if first == "--serve" {
        return serve();
    }
    let streams: usize = first.parse().expect("STREAMS is a number");
    let seconds: f64 = args.next().map_or(10.0, |seconds| seconds.parse().expect("SECONDS is a number"));
    let exe = std::env::current_exe().expect("the running program has a path");
    let mut server = Command::new(exe)
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts again");
    let address = read_address(&mut server);
    tokens(&server, address, streams, seconds);
    pages(&server, address);
    drop(server.stdin.take());
    server.wait().expect("the server ends with its input");
}

/// The server's part: until its input ends.
fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let mut engine = EngineConfig::new(Preset::by_name(PRESET).expect("a known preset"));
    engine.max_model_len = 100_000;
    let config = SimConfig::new("m", engine);
    let servers =
        runtime.block_on(start_many((Ipv4Addr::LOCALHOST, 0).into(), 1, config)).expect("a port is free");
    println!("{}", servers[0].local_addr());
    let _ = std::io::stdin().read(&mut [0]);
}

fn read_address(server: &mut Child) -> SocketAddr {
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("the server says its address");
    line.trim().parse().expect("an address")
}

fn tokens(server: &Child, address: SocketAddr, streams: usize, seconds: f64) {
    let events = Arc::new(AtomicU64::new(0));
    for _ in 0..streams {
        let events = events.clone();
        let mut stream = ask(
            address,
            "POST",
            "/v1/completions",
            r#"{"prompt":"hello","max_tokens":90000,"ignore_eos":true,"stream":true}"#,
        );
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                let ends = buffer[..read].windows(6).filter(|window| *window == b"data: ").count();
                events.fetch_add(ends as u64, Ordering::Relaxed);
            }
        });
    }
    std::thread::sleep(Duration::from_secs(2));
    let (begin, count, cpu) = (Instant::now(), events.load(Ordering::Relaxed), cpu_s(server));
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let (count, cpu) = (events.load(Ordering::Relaxed) - count, cpu_s(server) - cpu);
    let elapsed = begin.elapsed().as_secs_f64();
    println!(
        "{streams} streams: {:.0} tokens/s, {:.2} of a core, {:.2} us CPU per token",
        count as f64 / elapsed,
        cpu / elapsed,
        cpu * 1e6 / count as f64
    );
}

fn pages(server: &Child, address: SocketAddr) {
    let mut bytes = 0;
    let cpu = cpu_s(server);
    let begin = Instant::now();
    for _ in 0..PAGES {
        let mut page = Vec::new();
        ask(address, "GET", "/metrics", "").read_to_end(&mut page).expect("the page comes");
        bytes = page.len();
    }
    let cpu = cpu_s(server) - cpu;
    println!(
        "{PAGES} metrics pages of {bytes} bytes in {:.1} s: {:.0} us CPU each, a connection and the streams included",
        begin.elapsed().as_secs_f64(),
        cpu * 1e6 / f64::from(PAGES)
    );
}

fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let close = if body.is_empty() { "connection: close\r\n" } else { "" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: sim\r\n{close}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the server reads");
    stream
}

/// User and system time of the server so far, in seconds.
fn cpu_s(server: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace().collect();
    // Fields 14 and 15 of proc_pid_stat(5), counted from the one after the name.
    let ticks: f64 = fields[11..13].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}
