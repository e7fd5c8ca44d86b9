//! The fixed load. Lengths are means: each is drawn evenly from half to one and a half of it. Times are the servers'.

use anyhow::ensure;
use roadstead_engine::Preset;
use serde::{Deserialize, Serialize};

/// What all points share.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub preset: String,
    pub servers: u16,
    pub seeds: Vec<u64>,
    /// Wall seconds per second of the servers.
    pub time_scale: f64,
    /// Instructions and tools that all sessions begin with, tokens; always this many.
    pub system_tokens: u32,
    /// Turns of a session; always this many.
    pub turns: u32,
    pub first_tokens: u32,
    pub turn_tokens: u32,
    pub answer_tokens: u32,
    /// The first sessions begin within this time, each under way at a random turn.
    pub ramp_s: f64,
    /// What begins before this time is not counted.
    pub warmup_s: f64,
    pub measured_s: f64,
    pub points: Vec<Point>,
}

/// One load.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Alive at a time; one that ends is followed by another.
    pub sessions: u32,
    /// What it is meant to be, as a share of all KV blocks.
    pub working_set: f64,
    /// Mean time from an answer to the next turn, exponential.
    pub think_s: f64,
}

impl Scenario {
    /// Reads it from JSON.
    ///
    /// # Errors
    /// It is not one.
    pub fn read(text: &str) -> anyhow::Result<Scenario> {
        let scenario: Scenario = serde_json::from_str(text)?;
        ensure!(Preset::by_name(&scenario.preset).is_some(), "no preset is called {}", scenario.preset);
        ensure!(scenario.time_scale > 0.0 && scenario.measured_s > 0.0, "times must be more than zero");
        Ok(scenario)
    }

    /// When the last request may begin.
    pub fn end_s(&self) -> f64 {
        self.warmup_s + self.measured_s
    }

    /// The law of lengths around `mean`.
    pub fn law(mean: u32) -> String {
        format!("uniform:{},{}", (mean / 2).max(1), mean + mean / 2)
    }
}
