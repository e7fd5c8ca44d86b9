//! Conversations whose histories fill the caches: staying where the cache is, against hashing by conversation.

use std::time::Duration;

use roadstead_core::Time;
use roadstead_testkit::{FleetConfig, Placer, Sessions, SessionsConfig, VirtualFleet};

use crate::config;

const ENDPOINTS: usize = 4;

/// Mean time to first token after the caches have filled, in milliseconds.
fn mean_ttft_ms(placer: Placer, seed: u64) -> f64 {
    let fleet = FleetConfig { placer, seed, ..config("least-wait", ENDPOINTS) };
    let mut fleet = VirtualFleet::new(fleet);
    let mut workload = Sessions::new(SessionsConfig {
        sessions: 75,
        system_tokens: 10_000,
        turns: 80,
        first_tokens: 1_500,
        turn_tokens: 425,
        output_tokens: 16,
        think: Duration::from_millis(3_500),
        ramp: Duration::from_secs(15),
        under_way: true,
        end: Time::from_millis(80_000),
        seed,
    });
    let records = fleet.run(&mut workload, Time::NEVER);
    let settled = records.iter().filter(|record| record.arrived >= Time::from_millis(30_000));
    let ttfts: Vec<f64> = settled.map(|record| record.ttft_s() * 1e3).collect();
    ttfts.iter().sum::<f64>() / ttfts.len() as f64
}

#[test]
fn conversations_wait_no_longer_than_with_a_hash_and_far_less_than_with_counts() {
    let mean = |placer: Placer| (1..=2).map(|seed| mean_ttft_ms(placer.clone(), seed)).sum::<f64>() / 2.0;
    let least_wait = mean(Placer::Policy("least-wait"));
    let hash = mean(Placer::ClientHash);
    assert!(least_wait <= 1.05 * hash, "least-wait {least_wait} ms, hash {hash} ms");
    let round_robin = mean_ttft_ms(Placer::Policy("round-robin"), 1);
    assert!(least_wait <= round_robin / 3.0, "least-wait {least_wait} ms, round robin {round_robin} ms");
}
