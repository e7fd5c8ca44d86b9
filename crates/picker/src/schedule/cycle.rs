//! What one decision looks at.

use std::sync::Arc;

use roadstead_core::{Request, Time};

use super::candidates::Candidates;
use super::pricing::{Prices, Pricing};
use crate::cost::{Demand, Learned, Prediction, adapter_s, predict};
use crate::pool::{AdapterPlace, Pool, Slot};
use crate::prefix::{BYTES_PER_TOKEN, Matches, PrefixIndex, PrefixShape};

/// How often a block of the pool's mean age would have been asked for again; its recompute also delays others.
const EVICTED_REUSE: f32 = 1.5;

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
    scratch: &'a Scratch,
    pricing: Pricing<'a>,
}

/// Memory of a decision, used again by the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The slots that may serve the request.
    pub candidates: Candidates,
    matches: Matches,
    adapter_bars: Vec<f32>,
}

impl Scratch {
    /// Looks the prompt up and gathers what prices the candidates.
    pub fn prepare<'a>(
        &'a mut self,
        context: (Time, &'a Pool, &PrefixIndex, &Learned),
        request: &'a Request,
        shape: PrefixShape,
        predicts: bool,
    ) -> Cycle<'a> {
        let (now, pool, index, learned) = context;
        index.lookup(&request.prefix, self.candidates.set(), &mut self.matches);
        let adapter = request.model.as_ref().filter(|model| pool.catalogue().is_adapter(model));
        let demand = Demand::of(request, learned);
        let prices = Prices {
            demand,
            block_tokens: (shape.block_bytes / BYTES_PER_TOKEN) as f32,
            prompt_blocks: request.prefix.len() as f32,
            now_s: now.as_secs_f64() as f32,
            evicted_worth: EVICTED_REUSE * pool.oldest_age_mean_s(now) as f32,
        };
        if let Some(adapter) = adapter.filter(|_| predicts) {
            self.price_adapter(pool, adapter, &prices);
        }
        let scratch = &*self;
        let bars =
            if adapter.is_some() && predicts { &scratch.adapter_bars } else { scratch.candidates.bars() };
        let pricing = Pricing {
            prices,
            standings: pool.standings(),
            candidates: &scratch.candidates,
            depths: scratch.matches.depths(),
            bars,
        };
        Cycle { now, request, pool, adapter, shape, scratch, pricing }
    }

    /// Adds to the bars what bringing `adapter` to each candidate would cost.
    fn price_adapter(&mut self, pool: &Pool, adapter: &Arc<str>, prices: &Prices) {
        self.adapter_bars.clear();
        self.adapter_bars.extend_from_slice(self.candidates.bars());
        for &slot in self.candidates.all() {
            let state = &pool[slot];
            let standing = pool.standings().row(slot);
            let hit_tokens = self.matches.blocks(slot) as f32 * prices.block_tokens;
            let prediction = predict::<true>(&standing, &prices.demand, hit_tokens);
            let place = state.models.place(adapter, &state.reported);
            self.adapter_bars[slot.index()] += adapter_s(place, &standing, &prediction);
        }
    }
}

impl Cycle<'_> {
    /// Leading prompt blocks that `slot` has.
    pub fn hit_blocks(&self, slot: Slot) -> u32 {
        self.scratch.matches.blocks(slot)
    }

    /// Prompt tokens that `slot` is expected to have in its cache.
    pub fn hit_tokens(&self, slot: Slot) -> u32 {
        hit_tokens(&self.scratch.matches, slot, &self.shape, self.request.work.prompt_tokens)
    }

    /// The candidate that has most of the prompt, and how many tokens more than any other: `None` where no candidate
    /// has more than another.
    pub fn warmest(&self, candidates: &[Slot]) -> Option<(Slot, u32)> {
        let matches = &self.scratch.matches;
        let tokens = |blocks: u32| tokens_of(blocks, &self.shape, self.request.work.prompt_tokens);
        if self.is_unfiltered(candidates) {
            let own = tokens(matches.most()) - tokens(matches.second());
            return matches.warmest().filter(|_| own > 0).map(|slot| (slot, own));
        }
        let warmest = candidates.iter().copied().max_by_key(|slot| self.hit_tokens(*slot))?;
        let others = candidates.iter().filter(|slot| **slot != warmest);
        let second = others.map(|slot| self.hit_tokens(*slot)).max().unwrap_or(0);
        let own = self.hit_tokens(warmest) - second;
        (own > 0).then_some((warmest, own))
    }

    /// What the request would meet on `slot`, its adapter included.
    pub fn prediction(&self, slot: Slot) -> Prediction {
        let standing = self.pool.standings().row(slot);
        let mut prediction =
            predict::<true>(&standing, &self.pricing.prices.demand, self.hit_tokens(slot) as f32);
        if self.adapter.is_some() {
            let seconds = adapter_s(self.adapter_place(slot), &standing, &prediction);
            prediction.ttft_s += seconds;
            prediction.total_s += seconds;
        }
        prediction
    }

    /// Predicted seconds until the whole answer is there on a candidate, and the price of what it pushes out of the
    /// cache.
    pub fn total_s(&self, slot: Slot) -> f32 {
        self.pricing.total_s(slot)
    }

    /// The least time to a first token among `candidates`.
    pub fn ttft_s_min(&self, candidates: &[Slot]) -> f32 {
        if self.is_unfiltered(candidates) {
            return self.pricing.ttft_s_min();
        }
        candidates.iter().map(|slot| self.prediction(*slot).ttft_s).fold(f32::INFINITY, f32::min)
    }

    /// Keeps the candidates whose total is the least.
    pub fn keep_least_total(&self, candidates: &mut Vec<Slot>) {
        if self.is_unfiltered(candidates) {
            self.pricing.cheapest(candidates);
        } else {
            let least = candidates.iter().map(|slot| self.total_s(*slot)).fold(f32::INFINITY, f32::min);
            candidates.retain(|slot| self.total_s(*slot) <= least);
        }
    }

    /// Where the wanted adapter is on `slot`; resident where none is wanted.
    pub fn adapter_place(&self, slot: Slot) -> AdapterPlace {
        let state = &self.pool[slot];
        self.adapter.map_or(AdapterPlace::Resident, |adapter| state.models.place(adapter, &state.reported))
    }

    /// Whether no filter has taken anything out of `candidates` yet.
    fn is_unfiltered(&self, candidates: &[Slot]) -> bool {
        candidates.len() == self.scratch.candidates.all().len()
    }
}

fn hit_tokens(matches: &Matches, slot: Slot, shape: &PrefixShape, prompt_tokens: u32) -> u32 {
    tokens_of(matches.blocks(slot), shape, prompt_tokens)
}

fn tokens_of(blocks: u32, shape: &PrefixShape, prompt_tokens: u32) -> u32 {
    let tokens = blocks as usize * shape.block_bytes / BYTES_PER_TOKEN;
    u32::try_from(tokens).unwrap_or(u32::MAX).min(prompt_tokens)
}
