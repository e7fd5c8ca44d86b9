//! Endpoints of different speed, and clocks of any scale: nothing is configured, it is learned.

use std::time::Duration;

use fastrand::Rng;
use roadstead_core::Time;
use roadstead_engine::{EngineConfig, StepLaw};
use roadstead_testkit::{Arrival, FleetConfig, Record, VirtualFleet};

use crate::{arrival, config, engine, text};

/// An engine whose steps take `factor` times as long.
fn slowed(factor: f64) -> EngineConfig {
    let engine = engine();
    let law = engine.step;
    let step = StepLaw {
        weights_ms: law.weights_ms * factor,
        gemm_us_per_token: law.gemm_us_per_token * factor,
        base_ms: law.base_ms * factor,
        per_seq_us: law.per_seq_us * factor,
        per_context_token_us: law.per_context_token_us * factor,
        attention_ps: law.attention_ps * factor,
        lm_head_ms: law.lm_head_ms * factor,
        host_ms: law.host_ms * factor,
        ..law
    };
    EngineConfig { step, ..engine }
}

/// Fifteen requests of 1,200 tokens a second for 40 seconds, on two fast endpoints and one three times slower, all of
/// it stretched by `scale`.
fn run(policy: &'static str, scale: f64) -> Vec<Record> {
    let mut rng = Rng::with_seed(11);
    let mut at = 0.0;
    let mut arrivals: Vec<Arrival> = (0..600)
        .map(|number| {
            at += -(1.0 - rng.f64()).ln() / 15.0;
            let time = Time::ZERO + Duration::from_secs_f64(at * scale);
            arrival(time, number, text(&mut rng, 1_200), 64)
        })
        .collect();
    let engines = vec![slowed(scale), slowed(scale), slowed(3.0 * scale)];
    let config =
        FleetConfig { scrape: Duration::from_millis(50).mul_f64(scale.max(1.0)), ..config(policy, 3) };
    VirtualFleet::with_engines(config, engines).run(&mut arrivals, Time::NEVER)
}

/// Share of the requests after the first hundred on `endpoint`.
fn share(records: &[Record], endpoint: usize) -> f64 {
    let settled: Vec<_> = records.iter().filter(|record| record.client >= 100).collect();
    let here = settled.iter().filter(|record| record.endpoint == endpoint).count();
    here as f64 / settled.len() as f64
}

fn mean_s(records: &[Record]) -> f64 {
    let total: f64 = records.iter().map(|record| record.finished.since(record.arrived).as_secs_f64()).sum();
    total / records.len() as f64
}

#[test]
fn a_slow_endpoint_gets_less_work() {
    let least_wait = run("least-wait", 1.0);
    let slow = share(&least_wait, 2);
    // It has a seventh of the fleet's speed; below saturation its answers are late even so.
    assert!(slow < 0.2, "{slow}");
    let fast = share(&least_wait, 0) / share(&least_wait, 1);
    assert!((0.7..1.4).contains(&fast), "{fast}");
    let round_robin = run("round-robin", 1.0);
    assert!(mean_s(&least_wait) < 0.8 * mean_s(&round_robin));
}

#[test]
fn any_time_scale_gives_the_same_shares() {
    let usual = run("least-wait", 1.0);
    for scale in [0.1, 10.0] {
        let scaled = run("least-wait", scale);
        for endpoint in 0..3 {
            let (a, b) = (share(&usual, endpoint), share(&scaled, endpoint));
            assert!((a - b).abs() <= 0.06, "e{endpoint} at x{scale}: {b}, usually {a}");
        }
    }
}
