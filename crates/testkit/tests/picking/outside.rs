//! One of two endpoints is loaded by requests that did not pass the gateway.

use fastrand::Rng;
use roadstead_core::Time;
use roadstead_testkit::{Arrival, VirtualFleet};

use crate::{arrival, config, text};

/// When strangers begin to load the first endpoint.
const STRANGERS_MS: u64 = 1_000;

/// Share of our requests on the free endpoint from 200 ms after the strangers came.
fn share_elsewhere(policy: &'static str) -> f64 {
    let mut rng = Rng::with_seed(5);
    let mut arrivals: Vec<Arrival> = Vec::new();
    for number in 0..150 {
        let at = Time::from_millis(number * 20);
        arrivals.push(arrival(at, number as u32, text(&mut rng, 200), 20));
    }
    for number in 0..160 {
        // A burst, then 40 a second.
        let at = Time::from_millis(STRANGERS_MS + if number < 80 { 0 } else { (number - 80) * 25 });
        let stranger = arrival(at, 10_000 + number as u32, text(&mut rng, 500), 300);
        arrivals.push(Arrival { outside: Some(0), ..stranger });
    }
    let records = VirtualFleet::new(config(policy, 2)).run(&mut arrivals, Time::NEVER);
    let from = Time::from_millis(STRANGERS_MS + 200);
    let ours: Vec<_> =
        records.iter().filter(|record| record.client < 10_000 && record.arrived >= from).collect();
    assert!(ours.len() > 80);
    ours.iter().filter(|record| record.endpoint == 1).count() as f64 / ours.len() as f64
}

#[test]
fn new_requests_go_to_the_other_within_two_scrapes() {
    let least_wait = share_elsewhere("least-wait");
    assert!(least_wait >= 0.95, "{least_wait}");
    let random = share_elsewhere("random");
    assert!(random < 0.8, "{random}");
}
