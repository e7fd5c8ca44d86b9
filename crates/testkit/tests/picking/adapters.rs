//! Requests for adapters, of which an endpoint holds a few.

use std::collections::HashMap;
use std::sync::Arc;

use fastrand::Rng;
use roadstead_core::Time;
use roadstead_engine::EngineConfig;
use roadstead_testkit::{Arrival, VirtualFleet};

use crate::{arrival, config, engine, text};

const ADAPTERS: u32 = 6;

/// Share of requests that go where most of their adapter's requests go.
fn kept_together(policy: &'static str) -> f64 {
    let mut rng = Rng::with_seed(9);
    let loras: Vec<_> = (0..ADAPTERS).map(|adapter| (format!("lora-{adapter}"), 8)).collect();
    let engine = EngineConfig { max_loras: 2, max_cpu_loras: ADAPTERS, loras, ..engine() };
    let mut arrivals: Vec<Arrival> = (0..600u32)
        .map(|number| {
            let adapter = rng.u32(..ADAPTERS);
            let name: Arc<str> = format!("lora-{adapter}").into();
            let at = Time::from_millis(u64::from(number) * 40);
            Arrival { adapter: Some(name), ..arrival(at, adapter, text(&mut rng, 150), 24) }
        })
        .collect();
    let mut fleet = VirtualFleet::with_engines(config(policy, 4), vec![engine; 4]);
    let records = fleet.run(&mut arrivals, Time::NEVER);
    assert_eq!(records.len(), 600);
    let mut places: HashMap<(u32, usize), usize> = HashMap::new();
    for record in &records {
        *places.entry((record.client, record.endpoint)).or_default() += 1;
    }
    let most = |adapter| (0..4).filter_map(|at| places.get(&(adapter, at))).max().copied().unwrap_or(0);
    (0..ADAPTERS).map(most).sum::<usize>() as f64 / records.len() as f64
}

#[test]
fn a_request_lands_where_its_adapter_is() {
    let least_wait = kept_together("least-wait");
    assert!(least_wait >= 0.95, "{least_wait}");
    let random = kept_together("random");
    assert!(random < 0.5, "{random}");
}
