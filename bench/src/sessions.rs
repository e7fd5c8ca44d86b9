//! Multi-turn sessions: policies beside hashing by session, in one run over the same sessions.
//!
//! Each arm starts fresh servers (empty caches), one front before them, and the load that the scenario fixes. Everything
//! is given in the servers' time: at a time scale of 0.25 a second of theirs takes a quarter of a second here, and what a
//! front adds weighs four times. `--virtual` plays the same scenario in virtual time, with the picker alone. Rows are
//! printed and written as they come, seed by seed, so that a run that is cut off leaves whole comparisons.

mod arm;
mod figures;
mod live;
mod nginx;
mod occupancy;
mod scenario;
mod verdict;
mod virtual_time;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::process;
use arm::Arm;
use figures::{Figures, Row};
use scenario::Scenario;

const SCENARIO: &str = include_str!("../scenarios/sessions.json");

#[derive(clap::Args)]
pub struct Args {
    /// Scenario, as bench/scenarios/sessions.json, which is the default.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Virtual time: the picker and the engines alone, in seconds.
    #[arg(long = "virtual")]
    in_virtual_time: bool,
    /// Only these seeds.
    #[arg(long, value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Only the points with so many sessions.
    #[arg(long, value_delimiter = ',')]
    sessions: Vec<u32>,
    /// Only these arms.
    #[arg(long, value_enum, value_delimiter = ',')]
    arms: Vec<Arm>,
    /// Wall seconds per second of the servers, in place of the scenario's.
    #[arg(long)]
    time_scale: Option<f64>,
    /// First port of the servers; they take consecutive ones.
    #[arg(long, default_value_t = 21_800)]
    port: u16,
    /// Where the rows are written as JSON.
    #[arg(long, default_value = "sessions.json")]
    json: PathBuf,
    /// The roadstead binary; beside this one unless given.
    #[arg(long)]
    roadstead: Option<PathBuf>,
}

/// Runs every arm of every point with every seed, and prints what holds.
///
/// # Errors
/// Something could not be started, or a file could not be read or written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let scenario = args.chosen()?;
    let binary = process::roadstead(args.roadstead.as_deref());
    let mut all: Vec<Figures> = Vec::new();
    println!("{}", Row::HEADER);
    for &seed in &scenario.seeds {
        for point in &scenario.points {
            for arm in args.chosen_arms() {
                let figures = if args.in_virtual_time {
                    virtual_time::play(&scenario, point, arm, seed)
                } else {
                    let binary = binary.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
                    live::play(&scenario, point, arm, seed, live::Place { binary, port: args.port })?
                };
                println!("{}", figures.row);
                all.push(figures);
                write(&args.json, &all)?;
            }
        }
    }
    for point in &scenario.points {
        verdict::print(point, &all);
    }
    Ok(())
}

impl Args {
    fn chosen(&self) -> anyhow::Result<Scenario> {
        let mut scenario = match &self.scenario {
            Some(path) => {
                Scenario::read(&fs::read_to_string(path).with_context(|| path.display().to_string())?)?
            }
            None => Scenario::read(SCENARIO)?,
        };
        if !self.seeds.is_empty() {
            scenario.seeds.clone_from(&self.seeds);
        }
        if !self.sessions.is_empty() {
            scenario.points.retain(|point| self.sessions.contains(&point.sessions));
        }
        scenario.time_scale = self.time_scale.unwrap_or(scenario.time_scale);
        Ok(scenario)
    }

    fn chosen_arms(&self) -> Vec<Arm> {
        if self.arms.is_empty() { Arm::ALL.to_vec() } else { self.arms.clone() }
    }
}

fn write(path: &Path, all: &[Figures]) -> anyhow::Result<()> {
    let rows: Vec<&Row> = all.iter().map(|figures| &figures.row).collect();
    fs::write(path, serde_json::to_string_pretty(&rows)? + "\n")
        .with_context(|| format!("could not write {}", path.display()))
}
