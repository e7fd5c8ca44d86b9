//! Compares policies on multi-turn conversations in virtual time.
//!
//! `cargo run --release -p roadstead-testkit --example sessions -- SESSIONS KV_BLOCKS THINK_MS TURNS SEEDS FIRST TURN OUTPUT SYSTEM RAMP_MS`

use std::time::Duration;

use roadstead_core::Time;
use roadstead_engine::{EngineConfig, Preset, TokenOutputs};
use roadstead_testkit::{FleetConfig, Placer, Sessions, SessionsConfig, VirtualFleet};

const ENDPOINTS: usize = 8;

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let arg = |index: usize, default: u64| args.get(index).copied().unwrap_or(default);
    let (sessions, kv_blocks, think_ms, turns, seeds) =
        (arg(0, 150), arg(1, 27_701), arg(2, 4_000), arg(3, 10), arg(4, 2));
    let placers = [
        ("hash", Placer::ClientHash),
        ("least-wait", Placer::Policy("least-wait")),
        ("upstream-default", Placer::Policy("upstream-default")),
        ("least-request", Placer::Policy("least-request")),
        ("round-robin", Placer::Policy("round-robin")),
    ];
    println!("policy            seed  mean_ms   p50_ms   p99_ms    hit  busy (most)  requests");
    for seed in 1..=seeds {
        for (name, placer) in &placers {
            let preset = Preset::by_name("llama-3.1-8b@h100").expect("a known preset");
            let engine = EngineConfig {
                kv_blocks: kv_blocks as u32,
                token_outputs: TokenOutputs::EveryBlock,
                ..EngineConfig::new(preset)
            };
            let mut fleet = VirtualFleet::new(FleetConfig {
                endpoints: ENDPOINTS,
                engine,
                scrape: Duration::from_millis(50),
                placer: placer.clone(),
                seed,
            });
            let mut workload = Sessions::new(SessionsConfig {
                sessions: sessions as u32,
                system_tokens: arg(8, 0) as u32,
                ramp: Duration::from_millis(if arg(9, 0) == 0 { think_ms } else { arg(9, 0) }),
                under_way: arg(9, 0) == 0,
                turns: turns as u32,
                first_tokens: arg(5, 4_000) as u32,
                turn_tokens: arg(6, 2_500) as u32,
                output_tokens: arg(7, 32) as u32,
                think: Duration::from_millis(think_ms),
                end: Time::from_millis(arg(11, 300) * 1000),
                seed,
            });
            let records = fleet.run(&mut workload, Time::NEVER);
            let measured: Vec<_> = records
                .iter()
                .filter(|record| record.arrived >= Time::from_millis(arg(10, 60) * 1000))
                .collect();
            let mut ttft: Vec<f64> = measured.iter().map(|record| record.ttft_s() * 1e3).collect();
            ttft.sort_by(f64::total_cmp);
            let at = |share: f64| ttft[((ttft.len() - 1) as f64 * share) as usize];
            let mean = ttft.iter().sum::<f64>() / ttft.len() as f64;
            let prompt: u64 = measured.iter().map(|record| u64::from(record.prompt_tokens)).sum();
            let cached: u64 = measured.iter().map(|record| u64::from(record.cached_tokens)).sum();
            let shares = fleet.busy_shares();
            let busy = shares.iter().sum::<f64>() / ENDPOINTS as f64;
            let most = shares.iter().copied().fold(0.0, f64::max);
            println!(
                "{name:<17} {seed:>4} {mean:>8.1} {:>8.1} {:>8.1} {:>6.3} {busy:>5.2} {most:>5.2} {:>9}",
                at(0.5),
                at(0.99),
                cached as f64 / prompt as f64,
                ttft.len(),
            );
        }
    }
}
