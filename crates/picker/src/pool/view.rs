//! A readable copy of a pool's state for `/pools`, metrics and tests.

use std::sync::Arc;
use std::time::Duration;

use roadstead_core::{EndpointId, Time};

use super::{Account, EndpointState, ForeignLoad};
use crate::pool::Pool;
use crate::prefix::HistoryFill;

/// A fact and its age.
#[derive(Clone, Debug, PartialEq)]
pub struct AgedView<T> {
    /// The fact.
    pub value: T,
    /// How old it is.
    pub age: Duration,
}

/// One endpoint at an instant.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// Its identity.
    pub id: EndpointId,
    /// Its name.
    pub name: Arc<str>,
    /// `host:port`.
    pub authority: Arc<str>,
    /// Why it gets no new work, if it does not.
    pub barred: Option<&'static str>,
    /// Since its last answered scrape.
    pub answered: Option<Duration>,
    /// Requests queued in the engine.
    pub waiting: Option<AgedView<u32>>,
    /// Requests in its running batch.
    pub running: Option<AgedView<u32>>,
    /// Share of its KV cache in use.
    pub kv_usage: Option<AgedView<f32>>,
    /// KV cache size in tokens.
    pub kv_tokens: Option<u64>,
    /// Adapter slots, where the engine has adapters.
    pub adapter_slots: Option<u32>,
    /// Adapters with requests in the engine.
    pub adapters_running: Vec<Arc<str>>,
    /// Served names.
    pub models: Vec<Arc<str>>,
    /// What we have in flight there.
    pub account: Account,
    /// What others seem to have in flight there.
    pub foreign: ForeignLoad,
    /// Learned seconds per uncached prompt token.
    pub prefill_s_per_token: f64,
    /// Learned decode step time against the generic preset.
    pub step_scale: f64,
    /// Prompt blocks remembered as cached there, and how many may be.
    pub history: HistoryFill,
}

/// A pool at an instant.
#[derive(Clone, Debug, Default)]
pub struct PoolView {
    /// Its endpoints in pool order.
    pub endpoints: Vec<EndpointView>,
    /// Requests that wait for an endpoint.
    pub queued: usize,
    /// The policy that picks.
    pub policy: &'static str,
}

impl PoolView {
    pub(crate) fn endpoints_of(pool: &Pool, now: Time) -> Vec<EndpointView> {
        pool.iter().map(|(_, state)| endpoint_view(state, now)).collect()
    }
}

fn endpoint_view(state: &EndpointState, now: Time) -> EndpointView {
    let reported = &state.reported;
    let adapters = reported.adapters.as_ref();
    EndpointView {
        id: state.endpoint.id,
        name: state.endpoint.name.clone(),
        authority: state.endpoint.authority.clone(),
        barred: state.health.barred(now),
        answered: reported.answered.map(|at| now.since(at)),
        waiting: reported.waiting.as_ref().map(|fact| aged(fact, now)),
        running: reported.running.as_ref().map(|fact| aged(fact, now)),
        kv_usage: reported.kv_usage.as_ref().map(|fact| aged(fact, now)),
        kv_tokens: state.kv_tokens(),
        adapter_slots: adapters.map(|fact| fact.value.slots),
        adapters_running: adapters.map(|fact| fact.value.running.clone()).unwrap_or_default(),
        models: state.models.names(),
        account: state.account,
        foreign: state.foreign.load(),
        prefill_s_per_token: state.speed.prefill_s_per_token(),
        step_scale: state.speed.step_scale(),
        history: state.history,
    }
}

fn aged<T: Copy>(fact: &super::Aged<T>, now: Time) -> AgedView<T> {
    AgedView { value: fact.value, age: now.since(fact.at) }
}
