//! What looking at endpoints costs: CPU and memory of an idle gateway with many endpoints.
//!
//! Every endpoint answers with the page that a loaded vLLM server gave. The same gateway that hardly scrapes is measured
//! beside it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::backend::{Backends, Page};
use crate::front::{Contender, Settings};
use crate::process;
use crate::report::{Budget, Figure, publish};

const WARM_UP: Duration = Duration::from_secs(3);
const CORES_MAX: f64 = 0.1;
const MIB: f64 = 1_048_576.0;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: crate::Common,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Endpoints.
    #[arg(long, default_value_t = 100)]
    endpoints: u16,
    /// Time from one scrape of an endpoint to the next, milliseconds.
    #[arg(long, default_value_t = 50)]
    interval_ms: u64,
    /// Length of a measurement, seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// Measures and prints.
///
/// # Errors
/// Something could not be started.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let binary = process::roadstead(args.common.roadstead.as_deref())?;
    let backends = Backends::start(args.endpoints, Page::Loaded)?;
    let often = Settings {
        workers: None,
        scrape_interval: Duration::from_millis(args.interval_ms),
        ..Settings::one_worker(&binary)
    };
    let hardly = Settings { scrape_interval: Duration::from_secs(60), ..often.clone() };
    let mut figures = Vec::new();
    for settings in [often, hardly] {
        let budget = (settings.scrape_interval < Duration::from_secs(1)).then_some(Budget::Value(CORES_MAX));
        let contender = Contender::Roadstead(settings);
        let (mut cores, mut begin, mut end) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..args.rounds {
            eprintln!("{}, round {} of {}", contender.name(), round + 1, args.rounds);
            let front = contender.start(&backends.addresses)?;
            let Some(process) = &front.process else { continue };
            sleep(WARM_UP);
            let (started, cpu) = (Instant::now(), process.cpu()?);
            begin.push(process.resident_bytes()? as f64 / MIB);
            sleep(Duration::from_secs_f64(args.seconds));
            cores.push((process.cpu()? - cpu).as_secs_f64() / started.elapsed().as_secs_f64());
            end.push(process.resident_bytes()? as f64 / MIB);
        }
        let name = contender.name();
        let used = Figure::alone("cores", &name, "cores", cores);
        figures.push(Figure { budget, ..used });
        figures.push(Figure::alone("resident after 3 s", &name, "MiB", begin));
        figures.push(Figure::alone("resident at the end", &name, "MiB", end));
    }
    let title = format!("scrape, {} endpoints every {} ms", args.endpoints, args.interval_ms);
    publish(&title, &figures, args.common.json.as_deref())
}
