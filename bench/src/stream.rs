//! What a chunk of a paced stream costs: CPU of the front per chunk, with many streams open.

use std::net::SocketAddr;
use std::time::Duration;

use crate::backend::{Backends, Page};
use crate::front::{Contender, Settings, nginx_if_installed};
use crate::process;
use crate::report::{Budget, Figure, publish};
use crate::traffic::{self, Shape, Streams};

const BACKENDS: u16 = 4;
/// More chunks than a measurement can last.
const CHUNKS: u32 = 1_000_000;
const WARM_UP: Duration = Duration::from_secs(1);
const CHUNK_CPU_US_MAX: f64 = 10.0;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: crate::Common,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Streams that are open; each has a chunk every 20 ms.
    #[arg(long, default_value_t = 200)]
    streams: u32,
    /// Length of a measurement, seconds.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
}

/// Measures and prints.
///
/// # Errors
/// Something could not be started, or a stream ended.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let binary = process::roadstead(args.common.roadstead.as_deref())?;
    let backends = Backends::start(BACKENDS, Page::Idle)?;
    let usual = Settings::one_worker(&binary);
    let per_core = Settings { workers: None, ..usual.clone() };
    let mut contenders: Vec<Contender> = nginx_if_installed().into_iter().collect();
    contenders.extend([Contender::Roadstead(usual), Contender::Roadstead(per_core)]);

    let mut values = vec![Vec::new(); contenders.len()];
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for (contender, values) in contenders.iter().zip(&mut values) {
            values.push(cpu_per_chunk_us(contender, args, &backends.addresses)?);
        }
    }
    let peers = if contenders[0] == Contender::Nginx { values[0].clone() } else { Vec::new() };
    let what = format!("CPU per chunk, {} streams", args.streams);
    let figure = |(contender, values): (&Contender, Vec<f64>)| {
        let figure = Figure::against(&what, &contender.name(), "µs", values, &peers);
        if *contender == Contender::Nginx { figure } else { figure.within(Budget::Value(CHUNK_CPU_US_MAX)) }
    };
    let figures: Vec<Figure> = contenders.iter().zip(values).map(figure).collect();
    publish("stream", &figures, args.common.json.as_deref())
}

fn cpu_per_chunk_us(contender: &Contender, args: &Args, backends: &[SocketAddr]) -> anyhow::Result<f64> {
    let front = contender.start(backends)?;
    let Some(process) = &front.process else { return Ok(0.0) };
    let shape = Shape { body_bytes: 200, unique: true, chunks: Some(CHUNKS) };
    traffic::runtime()?.block_on(async {
        let streams = Streams::start(front.address, args.streams, shape).await?;
        tokio::time::sleep(WARM_UP).await;
        let (cpu, chunks) = (process.cpu()?, streams.chunks()?);
        tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
        let (cpu, chunks) = (process.cpu()? - cpu, streams.chunks()? - chunks);
        Ok(cpu.as_secs_f64() * 1e6 / chunks as f64)
    })
}
