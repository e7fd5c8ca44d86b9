//! What a decision costs, beside a round-robin pick on the same machine.
//!
//! Prompts of 8 k tokens, of which every endpoint holds the first 2 k and one holds all. Round-robin gets them without
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
        let (mut baseline, mut measured) = (Rounds::default(), Rounds::default());
        for round in 0..args.rounds {
            eprintln!("{endpoints} endpoints, round {} of {}", round + 1, args.rounds);
            decide(Load::new(BASELINE, endpoints, true), &mut baseline);
            decide(Load::new(&args.policy, endpoints, false), &mut measured);
        }
        let (p50, p99) = (format!("p50, {endpoints} endpoints"), format!("p99, {endpoints} endpoints"));
        figures.push(Figure::alone(&p50, BASELINE, "ns", baseline.p50.clone()));
        figures.push(Figure::against(&p50, &args.policy, "ns", measured.p50, &baseline.p50));
        figures.push(Figure::alone(&p99, BASELINE, "ns", baseline.p99.clone()));
        let figure = Figure::against(&p99, &args.policy, "ns", measured.p99, &baseline.p99);
        figures.push(Figure { budget: p99_ns_max(endpoints), ..figure });
    }
    publish("pick, one decision", &figures, args.common.json.as_deref())
}

fn decide(mut load: Load, rounds: &mut Rounds) {
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
