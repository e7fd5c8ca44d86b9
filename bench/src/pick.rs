//! What a decision costs, beside a round-robin pick on the same machine.
//!
//! Prompts of 8 k tokens, of which every endpoint holds the first 2 k. Of a warm prompt one endpoint holds all; the rest of
//! a cold one is new, pushes as much out of the history, and every endpoint is priced. Round-robin gets them without
//! their blocks: it is the least that a turn and its account can cost. No sockets: the picker alone.

mod load;

use roadstead_picker::DEFAULT_POLICY;

use crate::report::{Budget, Figure, publish};
use load::Load;

const BASELINE: &str = "round-robin";
const WARM_UP: usize = 2_000;
const DECISIONS: usize = 20_000;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: crate::Common,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Sizes of the pool.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    endpoints: Vec<usize>,
    /// The policy that is measured.
    #[arg(long, default_value = DEFAULT_POLICY)]
    policy: String,
}

/// Nanoseconds of a decision.
#[derive(Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

/// Measures and prints.
///
/// # Errors
/// The JSON file could not be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut figures = Vec::new();
    for &endpoints in &args.endpoints {
        let mut baseline = Rounds::default();
        let (mut warm, mut cold) = (Rounds::default(), Rounds::default());
        for round in 0..args.rounds {
            eprintln!("{endpoints} endpoints, round {} of {}", round + 1, args.rounds);
            decide(&mut Load::new(BASELINE, endpoints, true), &mut baseline);
            let mut load = Load::new(&args.policy, endpoints, false);
            decide(&mut load, &mut warm);
            load.cold = true;
            decide(&mut load, &mut cold);
        }
        let (p50, p99) = (format!("p50, {endpoints} endpoints"), format!("p99, {endpoints} endpoints"));
        figures.push(Figure::alone(&p50, BASELINE, "ns", baseline.p50.clone()));
        figures.push(Figure::alone(&p99, BASELINE, "ns", baseline.p99.clone()));
        for (prompts, measured) in [("warm", warm), ("cold", cold)] {
            let arm = format!("{}, {prompts} prompts", args.policy);
            figures.push(Figure::against(&p50, &arm, "ns", measured.p50, &baseline.p50));
            let figure = Figure::against(&p99, &arm, "ns", measured.p99, &baseline.p99);
            figures.push(Figure { budget: p99_ns_max(endpoints), ..figure });
        }
    }
    publish("pick, one decision", &figures, args.common.json.as_deref())
}

fn decide(load: &mut Load, rounds: &mut Rounds) {
    load.clear();
    for _ in 0..WARM_UP {
        load.decide();
    }
    load.clear();
    for _ in 0..DECISIONS {
        load.decide();
    }
    load.offers.sort_unstable();
    let at = |share: f64| load.offers[((load.offers.len() - 1) as f64 * share) as usize] as f64;
    rounds.p50.push(at(0.5));
    rounds.p99.push(at(0.99));
}

fn p99_ns_max(endpoints: usize) -> Option<Budget> {
    match endpoints {
        100 => Some(Budget::Value(5_000.0)),
        1_000 => Some(Budget::Value(10_000.0)),
        10_000 => Some(Budget::Value(20_000.0)),
        _ => None,
    }
}
