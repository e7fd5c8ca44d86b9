//! What an endpoint said of itself, with the age of every fact.

use std::sync::Arc;

use roadstead_core::{AdapterState, EngineState, Time};

/// A fact and when it was learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Aged<T> {
    /// The fact.
    pub value: T,
    /// When it was learned.
    pub at: Time,
}

/// The latest of each fact that an endpoint reported. A report without a fact leaves the older one standing.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    /// Requests queued in the engine.
    pub waiting: Option<Aged<u32>>,
    /// Requests in its running batch.
    pub running: Option<Aged<u32>>,
    /// Share of its KV cache in use, 0 to 1.
    pub kv_usage: Option<Aged<f32>>,
    /// Tokens in one KV block.
    pub block_tokens: Option<Aged<u32>>,
    /// KV blocks in all.
    pub kv_blocks: Option<Aged<u32>>,
    /// LoRA adapters.
    pub adapters: Option<Aged<AdapterState>>,
    /// The last answered scrape.
    pub answered: Option<Time>,
}

impl Reported {
    /// Takes over what `state` carries.
    pub fn update(&mut self, now: Time, state: EngineState) {
        fn set<T>(place: &mut Option<Aged<T>>, now: Time, value: Option<T>) {
            if let Some(value) = value {
                *place = Some(Aged { value, at: now });
            }
        }
        set(&mut self.waiting, now, state.waiting);
        set(&mut self.running, now, state.running);
        // A share outside 0..1 or not a number is a fault of the page, not a fact.
        set(&mut self.kv_usage, now, state.kv_usage.filter(|share| (0.0..=1.0).contains(share)));
        set(&mut self.block_tokens, now, state.block_tokens.filter(|tokens| *tokens > 0));
        set(&mut self.kv_blocks, now, state.kv_blocks.filter(|blocks| *blocks > 0));
        set(&mut self.adapters, now, state.adapters);
    }

    /// Requests queued in the engine; zero while unknown.
    pub fn waiting(&self) -> u32 {
        self.waiting.as_ref().map_or(0, |fact| fact.value)
    }

    /// Requests in the running batch; zero while unknown.
    pub fn running(&self) -> u32 {
        self.running.as_ref().map_or(0, |fact| fact.value)
    }

    /// Share of the KV cache in use; zero while unknown.
    pub fn kv_usage(&self) -> f32 {
        self.kv_usage.as_ref().map_or(0.0, |fact| fact.value)
    }

    /// KV blocks and tokens in each, where both are known.
    pub fn kv(&self) -> Option<(u32, u32)> {
        Some((self.kv_blocks.as_ref()?.value, self.block_tokens.as_ref()?.value))
    }

    /// Whether `adapter` has requests in the engine.
    pub fn runs_adapter(&self, adapter: &Arc<str>) -> bool {
        self.adapters.as_ref().is_some_and(|fact| fact.value.running.contains(adapter))
    }
}
