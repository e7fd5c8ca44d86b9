//! What one decision looks at.

use std::sync::Arc;

use roadstead_core::{Request, Time};

use crate::cost::{Demand, Learned, Prediction, predict};
use crate::pool::{AdapterPlace, Pool, Slot};
use crate::prefix::{BYTES_PER_TOKEN, Matches, PrefixIndex, PrefixShape};

/// How often a block of the pool's mean age would have been asked for again; its recompute also delays others.
const EVICTED_REUSE: f64 = 1.5;

/// One decision: a request against the pool as it stands.
pub struct Cycle<'a> {
    /// The request.
    pub request: &'a Request,
    /// The pool.
    pub pool: &'a Pool,
    /// The adapter that the request asks for, where its model is one.
    pub adapter: Option<&'a Arc<str>>,
    /// How prompts are cut into blocks.
    pub shape: PrefixShape,
    /// The time.
    pub now: Time,
    mean_age_s: f64,
    matches: &'a Matches,
    predictions: &'a [Prediction],
}

/// Memory of a decision, used again by the next.
#[derive(Debug, Default)]
pub struct Scratch {
    matches: Matches,
    predictions: Vec<Prediction>,
}

impl Scratch {
    /// Looks the prompt up and, where the profile wants them, predicts every candidate.
    pub fn prepare<'a>(
        &'a mut self,
        context: (Time, &'a Pool, &PrefixIndex, &Learned),
        request: &'a Request,
        shape: PrefixShape,
        candidates: &[Slot],
        predicts: bool,
    ) -> Cycle<'a> {
        let (now, pool, index, learned) = context;
        index.lookup(&request.prefix, &mut self.matches);
        let adapter = request
            .model
            .as_ref()
            .filter(|model| candidates.iter().any(|slot| pool[*slot].models.is_adapter(model)));
        if predicts {
            let demand = Demand::of(request, learned);
            self.predictions.clear();
            self.predictions.resize(pool.slots(), Prediction::default());
            for &slot in candidates {
                let state = &pool[slot];
                let hit = hit_tokens(&self.matches, slot, &shape, request);
                let place = adapter.map(|adapter| state.models.place(adapter, &state.reported));
                self.predictions[slot.index()] = predict(learned, state, &demand, hit, place);
            }
        }
        let ages = candidates
            .iter()
            .filter_map(|slot| pool[*slot].history.oldest)
            .map(|oldest| now.since(oldest).as_secs_f64());
        let mean_age_s = ages.sum::<f64>() / candidates.len() as f64;
        Cycle {
            now,
            mean_age_s,
            request,
            pool,
            adapter,
            shape,
            matches: &self.matches,
            predictions: &self.predictions,
        }
    }
}

impl Cycle<'_> {
    /// Leading prompt blocks that `slot` has.
    pub fn hit_blocks(&self, slot: Slot) -> u32 {
        self.matches.blocks(slot)
    }

    /// Prompt tokens that `slot` is expected to have in its cache.
    pub fn hit_tokens(&self, slot: Slot) -> u32 {
        hit_tokens(self.matches, slot, &self.shape, self.request)
    }

    /// The prediction for a candidate. Zeros where the profile has no use for predictions.
    pub fn prediction(&self, slot: Slot) -> Prediction {
        self.predictions.get(slot.index()).copied().unwrap_or_default()
    }

    /// Seconds of later recompute that the prompt's new blocks cost on `slot` by pushing out what is cached there.
    /// The longer ago the endpoint's oldest block was used, compared with the pool's, the less it is worth.
    pub fn eviction_s(&self, slot: Slot) -> f64 {
        let state = &self.pool[slot];
        let Some(oldest) = state.history.oldest else { return 0.0 };
        let new = (self.request.prefix.len() as u32).saturating_sub(self.hit_blocks(slot)) as usize;
        let over = (state.history.blocks + new).saturating_sub(state.history.capacity).min(new);
        if over == 0 {
            return 0.0;
        }
        let age_s = self.now.since(oldest).as_secs_f64().max(1e-3);
        let worth = self.mean_age_s / age_s;
        let tokens = (over * self.shape.block_bytes / BYTES_PER_TOKEN) as f64;
        EVICTED_REUSE * worth * tokens * state.speed.prefill_s_per_token()
    }

    /// Where the wanted adapter is on `slot`; resident where none is wanted.
    pub fn adapter_place(&self, slot: Slot) -> AdapterPlace {
        let state = &self.pool[slot];
        self.adapter.map_or(AdapterPlace::Resident, |adapter| state.models.place(adapter, &state.reported))
    }
}

fn hit_tokens(matches: &Matches, slot: Slot, shape: &PrefixShape, request: &Request) -> u32 {
    let tokens = matches.blocks(slot) as usize * shape.block_bytes / BYTES_PER_TOKEN;
    (tokens as u32).min(request.work.prompt_tokens)
}
