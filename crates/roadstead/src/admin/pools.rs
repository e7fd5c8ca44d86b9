//! The shape of `/pools`. Every fact of an endpoint stands with its age.

use std::time::Duration;

use roadstead_picker::PoolView;
use roadstead_picker::pool::{AgedView, EndpointView};
use serde::Serialize;

/// All pools.
#[derive(Serialize)]
pub struct Pools {
    pools: Vec<Pool>,
}

#[derive(Serialize)]
struct Pool {
    name: &'static str,
    policy: &'static str,
    queued_requests: usize,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
struct Endpoint {
    name: String,
    address: String,
    ready: bool,
    /// Why it gets no new work.
    barred: Option<&'static str>,
    answered_age_ms: Option<f64>,
    facts: Facts,
    models: Vec<String>,
    in_flight: InFlight,
    foreign: Foreign,
    learned: Learned,
    prefix_history: PrefixHistory,
}

#[derive(Serialize)]
struct Facts {
    waiting_requests: Option<Fact<u32>>,
    running_requests: Option<Fact<u32>>,
    kv_cache_usage: Option<Fact<f32>>,
    kv_cache_tokens: Option<u64>,
    adapter_slots: Option<u32>,
    adapters_running: Vec<String>,
}

#[derive(Serialize)]
struct Fact<T> {
    value: T,
    age_ms: f64,
}

/// Our own account.
#[derive(Serialize)]
struct InFlight {
    requests: u32,
    sequences: u32,
    decoding: u32,
    prefill_tokens: u64,
    context_tokens: u64,
}

/// What others seem to have there.
#[derive(Serialize)]
struct Foreign {
    waiting_requests: f32,
    running_requests: f32,
}

#[derive(Serialize)]
struct Learned {
    prefill_us_per_token: f64,
    decode_step_scale: f64,
}

#[derive(Serialize)]
struct PrefixHistory {
    blocks: usize,
    blocks_max: usize,
}

impl Pools {
    /// The one pool there is.
    pub fn of(name: &'static str, view: &PoolView) -> Pools {
        let endpoints = view.endpoints.iter().map(endpoint).collect();
        Pools { pools: vec![Pool { name, policy: view.policy, queued_requests: view.queued, endpoints }] }
    }
}

fn endpoint(view: &EndpointView) -> Endpoint {
    let names = |names: &[std::sync::Arc<str>]| names.iter().map(|name| name.to_string()).collect();
    Endpoint {
        name: view.name.to_string(),
        address: view.authority.to_string(),
        ready: view.barred.is_none(),
        barred: view.barred,
        answered_age_ms: view.answered.map(millis),
        facts: Facts {
            waiting_requests: view.waiting.as_ref().map(fact),
            running_requests: view.running.as_ref().map(fact),
            kv_cache_usage: view.kv_usage.as_ref().map(fact),
            kv_cache_tokens: view.kv_tokens,
            adapter_slots: view.adapter_slots,
            adapters_running: names(&view.adapters_running),
        },
        models: names(&view.models),
        in_flight: InFlight {
            requests: view.account.requests,
            sequences: view.account.sequences,
            decoding: view.account.decoding,
            prefill_tokens: view.account.prefill_tokens,
            context_tokens: view.account.context_tokens,
        },
        foreign: Foreign { waiting_requests: view.foreign.waiting, running_requests: view.foreign.running },
        learned: Learned {
            prefill_us_per_token: view.prefill_s_per_token * 1e6,
            decode_step_scale: view.step_scale,
        },
        prefix_history: PrefixHistory { blocks: view.history.blocks, blocks_max: view.history.capacity },
    }
}

fn fact<T: Copy>(fact: &AgedView<T>) -> Fact<T> {
    Fact { value: fact.value, age_ms: millis(fact.age) }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
