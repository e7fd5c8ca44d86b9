//! Faults of model servers under load, with figures: one killed and started again, one stopped and continued, one that
//! answers 500, beside a control run without any.
//!
//! Four `roadstead sim` processes, a gateway, 200 requests a second of 50-token streams. What a request met is read from
//! the gateway's access log (tries), where requests were sent from its picking counters, the rest from the load.

mod conditions;
mod fleet;
mod load;
mod story;

use std::path::PathBuf;

use anyhow::Context;

use crate::process;
use conditions::Condition;
use story::{Bench, Seen, Story};

#[derive(clap::Args)]
pub struct Args {
    /// Policies of the gateway.
    #[arg(long, value_delimiter = ',', default_values_t = ["least-wait".to_owned(), "random".to_owned()])]
    policies: Vec<String>,
    /// Requests per second.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Runs of the stopped server, each beside a control run; their quantiles are taken together.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Where the conditions are written as JSON.
    #[arg(long, default_value = "faults.json")]
    json: PathBuf,
    /// The roadstead binary; beside this one unless given.
    #[arg(long)]
    roadstead: Option<PathBuf>,
}

/// Plays every story with every policy, and prints what holds.
///
/// # Errors
/// Something could not be started or read.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let binary = process::roadstead(args.roadstead.as_deref())?;
    let mut all: Vec<Condition> = Vec::new();
    for policy in &args.policies {
        println!("\n{policy}");
        let bench = Bench { binary: &binary, policy, rate: args.rate };
        for story in [Story::Killed, Story::Stopped, Story::Failing] {
            let runs = args.runs(&bench, story)?;
            for condition in conditions::of(policy, &runs) {
                println!("{condition}");
                all.push(condition);
            }
            std::fs::write(&args.json, serde_json::to_string_pretty(&all)? + "\n")
                .with_context(|| format!("could not write {}", args.json.display()))?;
        }
    }
    Ok(())
}

impl Args {
    /// One run of `story`, or as many as are compared, each with a control run where there is something to compare.
    fn runs(&self, bench: &Bench, story: Story) -> anyhow::Result<Vec<(Seen, Seen)>> {
        let rounds = if story == Story::Stopped { self.rounds } else { 1 };
        (0..rounds)
            .map(|_| {
                let seen = bench.play(story)?;
                let control =
                    if story == Story::Stopped { bench.play(Story::Control)? } else { seen.clone() };
                Ok((seen, control))
            })
            .collect()
    }
}
