//! Everything the machine knows of one endpoint.

use std::time::Duration;

use roadstead_core::{Endpoint, EngineState, Time};

use super::{Account, BatchSlots, Foreign, Health, Models, Reported};
use crate::cost::{Speed, decode_step_s};
use crate::prefix::HistoryFill;

/// Decode steps for which a batch must stand still before a queue to count as full.
const SETTLED_STEPS: f64 = 20.0;

/// One endpoint of a pool.
#[derive(Clone, Debug)]
pub struct EndpointState {
    /// Who it is.
    pub endpoint: Endpoint,
    /// What we have in flight there.
    pub account: Account,
    /// What others seem to have in flight there.
    pub foreign: Foreign,
    /// How fast it is.
    pub speed: Speed,
    /// Prompt tokens sent there since the last scrape that the scraped KV usage cannot show yet.
    pub unscraped_tokens: u64,
    /// How many sequences it runs at once, as far as that showed.
    pub slots: BatchSlots,
    /// Prompt blocks remembered as cached there, and how many may be.
    pub history: HistoryFill,
    /// What it said.
    pub reported: Reported,
    /// What it serves.
    pub models: Models,
    /// Whether it gets work.
    pub health: Health,
}

impl EndpointState {
    pub(super) fn new(endpoint: Endpoint) -> EndpointState {
        EndpointState {
            endpoint,
            account: Account::default(),
            foreign: Foreign::default(),
            speed: Speed::default(),
            unscraped_tokens: 0,
            slots: BatchSlots::default(),
            history: HistoryFill::default(),
            reported: Reported::default(),
            models: Models::default(),
            health: Health::default(),
        }
    }

    /// Takes over a report. `whole` is true for a scrape, which shows all facts at one instant; a load header
    /// shows a few.
    pub fn report(&mut self, now: Time, state: EngineState, whole: bool) {
        let load = state.waiting.zip(state.running);
        if state.kv_usage.is_some() {
            self.unscraped_tokens = self.account.prefill_tokens;
        }
        self.reported.update(now, state);
        if !whole {
            return;
        }
        self.reported.answered = Some(now);
        if let Some((waiting, running)) = load {
            self.foreign.scraped(waiting, running, self.account.sequences);
            let settled =
                Duration::from_secs_f64(SETTLED_STEPS * self.speed.step_scale() * decode_step_s(0.0, 0.0));
            self.slots.scraped(now, waiting, running, settled);
        }
    }

    /// KV cache size in tokens, where known.
    pub fn kv_tokens(&self) -> Option<u64> {
        self.reported.kv().map(|(blocks, tokens)| u64::from(blocks) * u64::from(tokens))
    }

    /// Tokens of KV cache that are free: what the last scrape showed, less what we sent since.
    pub fn kv_free_tokens(&self) -> Option<u64> {
        let total = self.kv_tokens()? as f64;
        let used = total * f64::from(self.reported.kv_usage());
        Some((total - used) as u64).map(|free| free.saturating_sub(self.unscraped_tokens))
    }
}
