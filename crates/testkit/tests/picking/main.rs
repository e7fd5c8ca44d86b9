//! What the default policy does to a fleet of engines, in virtual time, beside policies that must do worse.

mod adapters;
mod outside;
mod prefixes;
mod sessions;
mod speeds;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use roadstead_core::Time;
use roadstead_engine::{EngineConfig, Preset, TokenOutputs};
use roadstead_testkit::{Arrival, FleetConfig, Placer};

/// An 8B model on an 80 GB accelerator.
fn engine() -> EngineConfig {
    let preset = Preset::by_name("llama-3.1-8b@h100").expect("a known preset");
    EngineConfig { token_outputs: TokenOutputs::EveryBlock, ..EngineConfig::new(preset) }
}

fn config(policy: &'static str, endpoints: usize) -> FleetConfig {
    FleetConfig {
        endpoints,
        engine: engine(),
        scrape: Duration::from_millis(50),
        placer: Placer::Policy(policy),
        seed: 1,
    }
}

fn text(rng: &mut Rng, tokens: usize) -> Vec<u8> {
    (0..tokens * 4).map(|_| rng.lowercase() as u8).collect()
}

fn arrival(at: Time, client: u32, prompt: Vec<u8>, output_tokens: u32) -> Arrival {
    let prompt = Arc::from(prompt);
    Arrival {
        at,
        client,
        prompt,
        output_tokens,
        output_seed: u64::from(client),
        outside: None,
        adapter: None,
    }
}
