//! Forty prompts of four thousand tokens, asked for twenty times each, on four endpoints.

use std::collections::HashMap;

use fastrand::Rng;
use roadstead_core::Time;
use roadstead_testkit::VirtualFleet;

use crate::{arrival, config, text};

const PREFIXES: usize = 40;
const REPEATS: usize = 20;
const PREFIX_TOKENS: usize = 4_000;

/// How often a prefix is computed, on average.
fn computed(policy: &'static str) -> f64 {
    let mut rng = Rng::with_seed(3);
    let prefixes: Vec<_> = (0..PREFIXES).map(|_| text(&mut rng, PREFIX_TOKENS)).collect();
    let mut order: Vec<usize> = (0..PREFIXES * REPEATS).map(|number| number % PREFIXES).collect();
    rng.shuffle(&mut order);
    let mut at = Time::ZERO;
    let mut arrivals: Vec<_> = order
        .into_iter()
        .map(|prefix| {
            at = at + std::time::Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / 25.0);
            let mut prompt = prefixes[prefix].clone();
            prompt.extend(text(&mut rng, 60));
            arrival(at, prefix as u32, prompt, 16)
        })
        .collect();
    let records = VirtualFleet::new(config(policy, 4)).run(&mut arrivals, Time::NEVER);
    assert_eq!(records.len(), PREFIXES * REPEATS);
    let mut computed: HashMap<u32, usize> = HashMap::new();
    for record in records.iter().filter(|record| record.cached_tokens < PREFIX_TOKENS as u32 / 2) {
        *computed.entry(record.client).or_default() += 1;
    }
    computed.values().sum::<usize>() as f64 / PREFIXES as f64
}

#[test]
fn each_prefix_is_computed_about_once() {
    let least_wait = computed("least-wait");
    assert!((1.0..=1.2).contains(&least_wait), "{least_wait}");
    let random = computed("random");
    assert!(random >= 2.5, "{random}");
}
