//! What a proxied request costs: CPU of the front per request, and latency added to a direct connection.
//!
//! CPU in closed loop with a fixed number of requests, latency in open loop at a moderate rate. Each round measures all
//! contenders one after the other, each freshly started.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::backend::{Backends, Page};
use crate::front::{Contender, Settings, nginx_if_installed};
use crate::process;
use crate::report::{Budget, Figure, publish};
use crate::traffic::{self, Shape};

const BACKENDS: u16 = 4;
/// Requests before the measurement, as a share of its requests.
const WARM_UP_SHARE: u64 = 5;
const HARDLY_EVER: Duration = Duration::from_secs(60);

/// A body length with its load and its budget.
struct Case {
    name: &'static str,
    body_bytes: usize,
    connections: u32,
    /// Requests of a closed-loop measurement at `--scale 1`.
    requests: u64,
    /// Requests a second of the open loop.
    rate: f64,
    budget: f64,
}

const CASES: [Case; 3] = [
    Case { name: "0.2 KB", body_bytes: 200, connections: 32, requests: 40_000, rate: 500.0, budget: 1.5 },
    Case { name: "15 KB", body_bytes: 15_000, connections: 32, requests: 20_000, rate: 500.0, budget: 1.5 },
    Case { name: "220 KB", body_bytes: 220_000, connections: 16, requests: 4_000, rate: 100.0, budget: 1.7 },
];

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: crate::Common,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of each measurement, as a multiple of the usual.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Leave the latencies out.
    #[arg(long)]
    cpu_only: bool,
    /// Only the first two contenders: nginx and roadstead with one worker.
    #[arg(long)]
    brief: bool,
}

/// Measures and prints.
///
/// # Errors
/// Something could not be started, or answered badly.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let binary = process::roadstead(args.common.roadstead.as_deref())?;
    let backends = Backends::start(BACKENDS, Page::Idle)?;
    let mut figures = Vec::new();
    for case in &CASES {
        eprintln!("CPU per request, {}", case.name);
        figures.extend(cpu(args, case, &contenders(&binary, args.brief), &backends.addresses)?);
    }
    for case in CASES.iter().filter(|_| !args.cpu_only) {
        eprintln!("added latency, {}", case.name);
        figures.extend(latency(args, case, &binary, &backends.addresses)?);
    }
    publish("proxy", &figures, args.common.json.as_deref())
}

/// A contender and whether its prompts are all different.
type Arm = (Contender, bool);

fn contenders(binary: &Path, brief: bool) -> Vec<Arm> {
    let usual = Settings::one_worker(binary);
    let hardly = Settings { scrape_interval: HARDLY_EVER, ..usual.clone() };
    let mut arms: Vec<Arm> = nginx_if_installed().map(|nginx| (nginx, true)).into_iter().collect();
    arms.push((Contender::Roadstead(usual.clone()), true));
    if !brief {
        arms.push((Contender::Roadstead(usual.clone()), false));
        arms.push((Contender::Roadstead(hardly), true));
        arms.push((Contender::Roadstead(Settings { access_log: false, ..usual.clone() }), true));
        arms.push((Contender::Roadstead(Settings { workers: None, ..usual }), true));
    }
    arms
}

fn cpu(args: &Args, case: &Case, arms: &[Arm], backends: &[SocketAddr]) -> anyhow::Result<Vec<Figure>> {
    let requests = (case.requests as f64 * args.scale).max(100.0) as u64;
    let mut values = vec![Vec::new(); arms.len()];
    for _ in 0..args.rounds {
        for ((contender, unique), values) in arms.iter().zip(&mut values) {
            values.push(cpu_per_request_us(contender, *unique, case, requests, backends)?);
        }
    }
    let peer = arms.iter().position(|(contender, _)| *contender == Contender::Nginx);
    let peers = peer.map_or(Vec::new(), |at| values[at].clone());
    let what = format!("CPU per request, {}", case.name);
    Ok(arms
        .iter()
        .zip(values)
        .map(|((contender, unique), values)| {
            let name = if *unique { contender.name() } else { contender.name() + ", same prompt" };
            let figure = Figure::against(&what, &name, "µs", values, &peers);
            if *contender == Contender::Nginx { figure } else { figure.within(Budget::Ratio(case.budget)) }
        })
        .collect())
}

fn cpu_per_request_us(
    contender: &Contender,
    unique: bool,
    case: &Case,
    requests: u64,
    backends: &[SocketAddr],
) -> anyhow::Result<f64> {
    let front = contender.start(backends)?;
    let Some(process) = &front.process else { return Ok(0.0) };
    let shape = Shape { body_bytes: case.body_bytes, unique, chunks: None };
    traffic::runtime()?.block_on(async {
        traffic::closed(front.address, case.connections, requests / WARM_UP_SHARE, shape).await?;
        let before = process.cpu()?;
        traffic::closed(front.address, case.connections, requests, shape).await?;
        Ok((process.cpu()? - before).as_secs_f64() * 1e6 / requests as f64)
    })
}

fn latency(args: &Args, case: &Case, binary: &Path, backends: &[SocketAddr]) -> anyhow::Result<Vec<Figure>> {
    let roadstead = Settings { workers: None, ..Settings::one_worker(binary) };
    let mut contenders = vec![Contender::Direct];
    contenders.extend(nginx_if_installed());
    contenders.push(Contender::Roadstead(roadstead));
    let quantiles = [("p50", 0.5), ("p99", 0.99)];
    let mut values = vec![vec![Vec::new(); quantiles.len()]; contenders.len()];
    for _ in 0..args.rounds {
        for (contender, values) in contenders.iter().zip(&mut values) {
            let latencies = latencies_us(contender, args.scale, case, backends)?;
            for ((_, quantile), values) in quantiles.iter().zip(values) {
                values.push(latencies.value_at_quantile(*quantile) as f64);
            }
        }
    }
    let mut figures = Vec::new();
    for (at, (name, _)) in quantiles.iter().enumerate() {
        let direct = values[0][at].clone();
        let what = format!("{name} at {} req/s, {}", case.rate, case.name);
        figures.push(Figure::alone(&what, "direct", "µs", direct.clone()));
        for (contender, values) in contenders.iter().zip(&values).skip(1) {
            let added = values[at].iter().zip(&direct).map(|(value, direct)| value - direct).collect();
            figures.push(Figure::alone(&format!("{what}, added"), &contender.name(), "µs", added));
        }
    }
    Ok(figures)
}

fn latencies_us(
    contender: &Contender,
    scale: f64,
    case: &Case,
    backends: &[SocketAddr],
) -> anyhow::Result<Histogram<u64>> {
    let front = contender.start(backends)?;
    let shape = Shape { body_bytes: case.body_bytes, unique: true, chunks: None };
    let time = Duration::from_secs_f64(3.0 * scale);
    traffic::runtime()?.block_on(async {
        traffic::closed(front.address, case.connections, 500, shape).await?;
        traffic::open(front.address, case.connections, case.rate, time, shape).await
    })
}
