//! What one decision looks at.

use std::sync::Arc;

use roadstead_core::{Request, Time};

use super::candidates::Candidates;
use crate::cost::{Demand, Learned, Prediction, adapter_s, predict};
use crate::pool::{AdapterPlace, Pool, Slot, Standings};
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
    demand: Demand,
    scratch: &'a Scratch,
}

/// Memory of a decision, used again by the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The slots that may serve the request.
    pub candidates: Candidates,
    matches: Matches,
    costs: Costs,
}

/// What the request would cost on each slot. Infinite where the slot is no candidate.
#[derive(Debug, Default)]
struct Costs {
    ttft_s: Vec<f32>,
    total_s: Vec<f32>,
    ttft_s_min: f32,
    total_s_min: f32,
}

/// What prices every slot the same way.
struct Prices {
    demand: Demand,
    block_tokens: f32,
    prompt_blocks: f32,
    now_s: f32,
    /// Seconds × seconds per token that a block pays for each second of its age, as a multiple of recompute.
    evicted_worth: f32,
}

impl Scratch {
    /// Looks the prompt up and, where the profile wants it, prices every candidate.
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
        if predicts {
            let prices = Prices {
                demand,
                block_tokens: (shape.block_bytes / BYTES_PER_TOKEN) as f32,
                prompt_blocks: request.prefix.len() as f32,
                now_s: now.as_secs_f64() as f32,
                evicted_worth: EVICTED_REUSE * pool.oldest_age_mean_s(now) as f32,
            };
            self.costs.price(&prices, pool.standings(), self.matches.depths(), self.candidates.bars());
        }
        if let Some(adapter) = adapter.filter(|_| predicts) {
            self.price_adapter(pool, adapter, &demand, &shape);
        }
        if predicts {
            self.costs.settle();
        }
        Cycle { now, request, pool, adapter, shape, demand, scratch: self }
    }

    /// Adds what bringing `adapter` to each candidate would cost.
    fn price_adapter(&mut self, pool: &Pool, adapter: &Arc<str>, demand: &Demand, shape: &PrefixShape) {
        for &slot in self.candidates.all() {
            let state = &pool[slot];
            let standing = pool.standings().row(slot);
            let hit = hit_tokens(&self.matches, slot, shape, demand.prompt_tokens as u32);
            let prediction = predict(&standing, demand, hit as f32);
            let seconds = adapter_s(state.models.place(adapter, &state.reported), &standing, &prediction);
            self.costs.ttft_s[slot.index()] += seconds;
            self.costs.total_s[slot.index()] += seconds;
        }
    }
}

impl Costs {
    /// One pass over the columns, without a branch, so that it runs many endpoints at a time.
    fn price(&mut self, prices: &Prices, standings: &Standings, depths: &[f32], bars: &[f32]) {
        let rows = standings.len().min(depths.len()).min(bars.len());
        self.ttft_s.resize(rows, 0.0);
        self.total_s.resize(rows, 0.0);
        let Standings {
            step_s,
            step_scale,
            ahead_s,
            prefill_s_per_token,
            slots_free,
            turn_share,
            kv_free_tokens,
            release_share,
            history_free_blocks,
            oldest_s,
        } = standings;
        let (step_s, step_scale, ahead_s) = (&step_s[..rows], &step_scale[..rows], &ahead_s[..rows]);
        let (prefill_s_per_token, slots_free) = (&prefill_s_per_token[..rows], &slots_free[..rows]);
        let (turn_share, kv_free_tokens) = (&turn_share[..rows], &kv_free_tokens[..rows]);
        let (release_share, history_free_blocks) = (&release_share[..rows], &history_free_blocks[..rows]);
        let (oldest_s, depths, bars) = (&oldest_s[..rows], &depths[..rows], &bars[..rows]);
        let (ttfts, totals) = (&mut self.ttft_s[..rows], &mut self.total_s[..rows]);
        for at in 0..rows {
            let standing = crate::cost::Standing {
                step_s: step_s[at],
                step_scale: step_scale[at],
                ahead_s: ahead_s[at],
                prefill_s_per_token: prefill_s_per_token[at],
                slots_free: slots_free[at],
                turn_share: turn_share[at],
                kv_free_tokens: kv_free_tokens[at],
                release_share: release_share[at],
                history_free_blocks: history_free_blocks[at],
                oldest_s: oldest_s[at],
            };
            let prediction = predict(&standing, &prices.demand, depths[at] * prices.block_tokens);
            let evicted_s = prices.evicted_s(&standing, depths[at]);
            ttfts[at] = prediction.ttft_s + bars[at];
            totals[at] = prediction.total_s + evicted_s + bars[at];
        }
    }

    fn settle(&mut self) {
        self.ttft_s_min = least(&self.ttft_s);
        self.total_s_min = least(&self.total_s);
    }
}

impl Prices {
    /// Seconds of later recompute that the prompt's new blocks cost by pushing out what is cached there. The longer
    /// ago the endpoint's oldest block was used, compared with the pool's, the less it is worth.
    #[inline(always)]
    fn evicted_s(&self, standing: &crate::cost::Standing, depth: f32) -> f32 {
        let over = (self.prompt_blocks - depth - standing.history_free_blocks).max(0.0);
        let age_s = (self.now_s - standing.oldest_s).max(1e-3);
        over * self.block_tokens * standing.prefill_s_per_token * (self.evicted_worth / age_s)
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
        let mut prediction = predict(&standing, &self.demand, self.hit_tokens(slot) as f32);
        if self.adapter.is_some() {
            let seconds = adapter_s(self.adapter_place(slot), &standing, &prediction);
            prediction.ttft_s += seconds;
            prediction.total_s += seconds;
        }
        prediction
    }

    /// Predicted seconds to the first token on a candidate. Zero where the profile has no use for predictions.
    pub fn ttft_s(&self, slot: Slot) -> f32 {
        self.scratch.costs.ttft_s.get(slot.index()).copied().unwrap_or(0.0)
    }

    /// Predicted seconds until the whole answer is there, and the price of what it pushes out of the cache. Zero
    /// where the profile has no use for predictions.
    pub fn total_s(&self, slot: Slot) -> f32 {
        self.scratch.costs.total_s.get(slot.index()).copied().unwrap_or(0.0)
    }

    /// The least time to a first token among `candidates`.
    pub fn ttft_s_min(&self, candidates: &[Slot]) -> f32 {
        if self.is_unfiltered(candidates) {
            return self.scratch.costs.ttft_s_min;
        }
        candidates.iter().map(|slot| self.ttft_s(*slot)).fold(f32::INFINITY, f32::min)
    }

    /// The least total among `candidates`.
    pub fn total_s_min(&self, candidates: &[Slot]) -> f32 {
        if self.is_unfiltered(candidates) {
            return self.scratch.costs.total_s_min;
        }
        candidates.iter().map(|slot| self.total_s(*slot)).fold(f32::INFINITY, f32::min)
    }

    /// Keeps the candidates whose total is the least.
    pub fn keep_least_total(&self, candidates: &mut Vec<Slot>) {
        let least = self.total_s_min(candidates);
        if !self.is_unfiltered(candidates) {
            candidates.retain(|slot| self.total_s(*slot) <= least);
            return;
        }
        candidates.clear();
        for (chunk, totals) in self.scratch.costs.total_s.chunks(LANES).enumerate() {
            if totals.iter().any(|total| *total <= least) {
                let first = (chunk * LANES) as u16;
                let kept = (first..).zip(totals).filter(|(_, total)| **total <= least);
                candidates.extend(kept.map(|(slot, _)| Slot::new(slot)));
            }
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

/// Numbers that are compared at once.
const LANES: usize = 16;

/// The least of `values`; infinite where there are none.
fn least(values: &[f32]) -> f32 {
    let mut lanes = [f32::INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::INFINITY, f32::min);
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value < *lane { *value } else { *lane };
        }
    }
    lanes.into_iter().fold(rest, f32::min)
}

fn hit_tokens(matches: &Matches, slot: Slot, shape: &PrefixShape, prompt_tokens: u32) -> u32 {
    tokens_of(matches.blocks(slot), shape, prompt_tokens)
}

fn tokens_of(blocks: u32, shape: &PrefixShape, prompt_tokens: u32) -> u32 {
    let tokens = blocks as usize * shape.block_bytes / BYTES_PER_TOKEN;
    u32::try_from(tokens).unwrap_or(u32::MAX).min(prompt_tokens)
}
