//! What a front keeps in memory: idle, with streams open, and after a while of prompts that are all different.
//!
//! The last is what fills a prefix history: it must stop growing. The budget is measured against what is in flight at
//! most, which the load knows.

use std::net::SocketAddr;
use std::time::Duration;

use crate::backend::{Backends, Page};
use crate::front::{Contender, Settings, nginx_if_installed};
use crate::process;
use crate::report::{Budget, Figure, publish};
use crate::traffic::{self, Shape, Streams};

const SETTLE: Duration = Duration::from_secs(3);
const CHUNKS: u32 = 1_000_000;
const PROMPT_BYTES: usize = 15_000;
/// Requests in flight at most while unique prompts are sent.
const CONNECTIONS: u32 = 32;
const FIXED_MIB_MAX: f64 = 64.0;
const MIB: f64 = 1_048_576.0;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: crate::Common,
    /// Endpoints.
    #[arg(long, default_value_t = 100)]
    endpoints: u16,
    /// Streams that are open in the loaded state.
    #[arg(long, default_value_t = 200)]
    streams: u32,
    /// Unique prompts a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long unique prompts are sent, seconds.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
}

/// Resident bytes in each state, in MiB.
struct Resident {
    idle: f64,
    loaded: f64,
    half: f64,
    after: f64,
    peak: f64,
}

impl Resident {
    fn states(&self) -> [(&'static str, f64); 5] {
        [
            ("idle", self.idle),
            ("with streams", self.loaded),
            ("half-way through unique prompts", self.half),
            ("after unique prompts", self.after),
            ("peak", self.peak),
        ]
    }
}

/// Measures and prints.
///
/// # Errors
/// Something could not be started, or answered badly.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let binary = process::roadstead(args.common.roadstead.as_deref())?;
    let backends = Backends::start(args.endpoints, Page::Idle)?;
    let usual = Settings { workers: None, ..Settings::one_worker(&binary) };
    let mut contenders: Vec<Contender> = nginx_if_installed().into_iter().collect();
    contenders.push(Contender::Roadstead(usual));
    let in_flight_mib = f64::from(CONNECTIONS) * PROMPT_BYTES as f64 / MIB;
    let budget = Budget::Value((2.0 * in_flight_mib + FIXED_MIB_MAX).round());

    let mut figures = Vec::new();
    let mut peer: Option<Resident> = None;
    for contender in &contenders {
        eprintln!("{}: about {:.0} s", contender.name(), args.seconds + 12.0);
        let resident = measure(contender, args, &backends.addresses)?;
        for (state, mib) in resident.states() {
            let of_peer = |peer: &Resident| peer.states().into_iter().find(|(name, _)| *name == state);
            let peers: Vec<f64> = peer.iter().filter_map(of_peer).map(|(_, mib)| mib).collect();
            let figure = Figure::against(state, &contender.name(), "MiB", vec![mib], &peers);
            let bound = *contender != Contender::Nginx;
            figures.push(if bound { figure.within(budget) } else { figure });
        }
        peer.get_or_insert(resident);
    }
    let title = format!(
        "memory, {} endpoints, {} streams, {} unique 15 KB prompts/s for {} s",
        args.endpoints, args.streams, args.rate, args.seconds
    );
    publish(&title, &figures, args.common.json.as_deref())
}

fn measure(contender: &Contender, args: &Args, backends: &[SocketAddr]) -> anyhow::Result<Resident> {
    let front = contender.start(backends)?;
    let process = front.process.as_ref().ok_or_else(|| anyhow::anyhow!("nothing to measure"))?;
    let mib = || anyhow::Ok(process.resident_bytes()? as f64 / MIB);
    traffic::runtime()?.block_on(async {
        tokio::time::sleep(SETTLE).await;
        let idle = mib()?;
        let stream = Shape { body_bytes: 200, unique: true, chunks: Some(CHUNKS) };
        let streams = Streams::start(front.address, args.streams, stream).await?;
        tokio::time::sleep(SETTLE).await;
        streams.chunks()?;
        let loaded = mib()?;
        drop(streams);
        let prompt = Shape { body_bytes: PROMPT_BYTES, unique: true, chunks: None };
        let half_time = Duration::from_secs_f64(args.seconds / 2.0);
        traffic::open(front.address, CONNECTIONS, args.rate, half_time, prompt).await?;
        let half = mib()?;
        traffic::open(front.address, CONNECTIONS, args.rate, half_time, prompt).await?;
        Ok(Resident { idle, loaded, half, after: mib()?, peak: process.resident_peak_bytes()? as f64 / MIB })
    })
}
