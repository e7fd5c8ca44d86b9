//! What scraping costs: CPU of this process (user and system) and memory while it scrapes a real vLLM page.
//!
//! `cargo run --release -p roadstead-fleet --example scrape_cost -- [ENDPOINTS] [INTERVAL_MS] [SECONDS]`
//! `THREADS` sets the runtime's worker threads (2). The pages are served by a child process, whose CPU is not counted.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roadstead_core::{Endpoint, EndpointId};
use roadstead_fleet::{FactSink, Fleet, FleetConfig};
use roadstead_net::Listener;
use roadstead_picker::fact::Fact;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PAGE: &str = include_str!("../tests/fixtures/metrics-loaded.txt");
const MODELS: &str = include_str!("../tests/fixtures/models.json");
/// Time in which connections are made and buffers grow.
const WARM_UP: Duration = Duration::from_secs(2);

struct Count(Arc<AtomicU64>);

impl FactSink for Count {
    fn observe(&self, fact: Fact) {
        if let Fact::Scraped { state, .. } = fact
            && state.waiting == Some(28)
        {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let threads = std::env::var("THREADS").map_or(Ok(2), |threads| threads.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    if args.first().is_some_and(|arg| arg == "serve") {
        return runtime.block_on(serve());
    }
    let number = |at: usize, default: u64| args.get(at).map_or(Ok(default), |arg| arg.parse());
    let (endpoints, interval_ms, seconds) = (number(0, 100)?, number(1, 50)?, number(2, 20)?);

    let mut server = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    let interval = Duration::from_millis(interval_ms);
    let measured = runtime.block_on(measure(line.trim(), endpoints, interval, Duration::from_secs(seconds)));
    server.kill()?;
    server.wait()?;
    measured
}

async fn measure(
    authority: &str,
    endpoints: u64,
    interval: Duration,
    time: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let pages = Arc::new(AtomicU64::new(0));
    let config = FleetConfig { scrape_interval: interval, ..FleetConfig::default() };
    let fleet = Fleet::start(config, Count(pages.clone()));
    for id in 0..u32::try_from(endpoints)? {
        let name = Arc::from(format!("e{id}"));
        fleet.join(Endpoint { id: EndpointId(id), name, authority: authority.into() })?;
    }
    tokio::time::sleep(WARM_UP).await;
    let (started, pages_before, cpu_before, memory_before) =
        (Instant::now(), pages.load(Ordering::Relaxed), cpu()?, memory_kib()?);
    tokio::time::sleep(time).await;
    let elapsed = started.elapsed();
    let read = pages.load(Ordering::Relaxed) - pages_before;
    let cpu = cpu()? - cpu_before;
    fleet.stop().await;
    println!("{endpoints} endpoints every {interval:?}, page of {} bytes", PAGE.len());
    println!("pages read      {:.0}/s", read as f64 / elapsed.as_secs_f64());
    println!("CPU             {:.3} cores", cpu.as_secs_f64() / elapsed.as_secs_f64());
    println!("CPU per page    {:.1} us", cpu.as_secs_f64() * 1e6 / read as f64);
    println!("memory          {memory_before} KiB, then {} KiB", memory_kib()?);
    Ok(())
}

/// CPU time of all threads of this process.
fn cpu() -> std::io::Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

fn memory_kib() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0))
}

/// Answers every request at once, as uvicorn does: one chunk.
async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    println!("{}", listener.local_addr()?);
    let page: Arc<[u8]> = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{PAGE}\r\n0\r\n\r\n",
        PAGE.len()
    )
    .into_bytes()
    .into();
    let models: Arc<[u8]> =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{MODELS}", MODELS.len()).into_bytes().into();
    loop {
        let (mut stream, _) = listener.accept().await;
        let (page, models) = (page.clone(), models.clone());
        tokio::spawn(async move {
            let mut request = Vec::new();
            while let Ok(1..) = stream.read_buf(&mut request).await {
                if request.ends_with(b"\r\n\r\n") {
                    let answer = if request.starts_with(b"GET /v1/models") { &models } else { &page };
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                    request.clear();
                }
            }
        });
    }
}
