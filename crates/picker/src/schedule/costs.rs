//! What a request would cost on every candidate, priced in one pass over the pool's columns.
//!
//! Sixty-four slots at a time, without a branch inside, so that the compiler works on several endpoints at once;
//! blocks without a candidate are skipped.

use super::candidates::Candidates;
use crate::cost::{Demand, Prediction, Standing, predict};
use crate::pool::{Slot, Standings};

/// Slots priced together; as many as a word of a slot set has bits.
const BLOCK: usize = 64;

/// What prices every slot the same way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prices {
    pub(super) demand: Demand,
    /// Tokens in one block of the prompt.
    pub(super) block_tokens: f32,
    /// Blocks of the prompt.
    pub(super) prompt_blocks: f32,
    /// The time.
    pub(super) now_s: f32,
    /// What a recompute of one evicted token costs, as a multiple of computing it, times its age in seconds.
    pub(super) evicted_worth: f32,
}

/// Costs by slot. What is not a candidate's means nothing.
#[derive(Debug, Default)]
pub(super) struct Costs {
    total_s: Vec<f32>,
    /// The least total of each block of slots.
    block_min: Vec<f32>,
    ttft_s_min: f32,
    total_s_min: f32,
}

impl Costs {
    /// Prices all `candidates`. `bars` holds, by slot, seconds that come on top.
    pub(super) fn price(
        &mut self,
        prices: &Prices,
        standings: &Standings,
        candidates: &Candidates,
        depths: &[f32],
        bars: &[f32],
    ) {
        let words = candidates.set().words();
        self.total_s.resize(words.len() * BLOCK, 0.0);
        self.block_min.clear();
        (self.ttft_s_min, self.total_s_min) = (f32::INFINITY, f32::INFINITY);
        for (index, word) in words.iter().enumerate() {
            if *word == 0 {
                self.block_min.push(f32::INFINITY);
                continue;
            }
            let at = index * BLOCK;
            let totals = block_mut(&mut self.total_s, at);
            let ttft_s_min = price_block(prices, standings, at, (block(depths, at), block(bars, at)), totals);
            let total_s_min = least(totals);
            self.block_min.push(total_s_min);
            self.ttft_s_min = self.ttft_s_min.min(ttft_s_min);
            self.total_s_min = self.total_s_min.min(total_s_min);
        }
    }

    /// Nothing is priced.
    pub(super) fn clear(&mut self) {
        self.total_s.clear();
        self.block_min.clear();
        (self.ttft_s_min, self.total_s_min) = (0.0, 0.0);
    }

    /// The total of a candidate; zero where nothing was priced.
    pub(super) fn total_s(&self, slot: Slot) -> f32 {
        self.total_s.get(slot.index()).copied().unwrap_or(0.0)
    }

    /// The least total of all candidates.
    pub(super) fn total_s_min(&self) -> f32 {
        self.total_s_min
    }

    /// The least time to a first token of all candidates.
    pub(super) fn ttft_s_min(&self) -> f32 {
        self.ttft_s_min
    }

    /// The candidates whose total is the least.
    pub(super) fn cheapest(&self) -> impl Iterator<Item = Slot> + '_ {
        let least = self.total_s_min;
        let blocks = self.block_min.iter().enumerate().filter(move |(_, min)| **min <= least);
        blocks.flat_map(move |(index, _)| {
            let at = index * BLOCK;
            let cheapest = (at..).zip(block(&self.total_s, at)).filter(move |(_, total)| **total <= least);
            cheapest.map(|(slot, _)| Slot::new(slot as u16))
        })
    }
}

impl Prices {
    /// Seconds of later recompute that the prompt's new blocks cost by pushing out what is cached there. The longer
    /// ago the endpoint's oldest block was used, compared with the pool's, the less it is worth.
    #[inline(always)]
    fn evicted_s(&self, standing: &Standing, depth: f32) -> f32 {
        let over = (self.prompt_blocks - depth - standing.history_free_blocks).max(0.0);
        let age_s = (self.now_s - standing.oldest_s).max(1e-3);
        over * self.block_tokens * standing.prefill_s_per_token * (self.evicted_worth / age_s)
    }
}

/// Writes the totals of one block; returns its least time to a first token.
#[inline(always)]
fn price_block(
    prices: &Prices,
    standings: &Standings,
    at: usize,
    (depths, bars): (&[f32; BLOCK], &[f32; BLOCK]),
    totals: &mut [f32; BLOCK],
) -> f32 {
    let step_s = block(&standings.step_s, at);
    let step_scale = block(&standings.step_scale, at);
    let ahead_s = block(&standings.ahead_s, at);
    let prefill_s_per_token = block(&standings.prefill_s_per_token, at);
    let slots_free = block(&standings.slots_free, at);
    let turn_share = block(&standings.turn_share, at);
    let kv_free_tokens = block(&standings.kv_free_tokens, at);
    let release_share = block(&standings.release_share, at);
    let history_free_blocks = block(&standings.history_free_blocks, at);
    let oldest_s = block(&standings.oldest_s, at);
    let mut ttfts = [0.0; BLOCK];
    for lane in 0..BLOCK {
        let standing = Standing {
            step_s: step_s[lane],
            step_scale: step_scale[lane],
            ahead_s: ahead_s[lane],
            prefill_s_per_token: prefill_s_per_token[lane],
            slots_free: slots_free[lane],
            turn_share: turn_share[lane],
            kv_free_tokens: kv_free_tokens[lane],
            release_share: release_share[lane],
            history_free_blocks: history_free_blocks[lane],
            oldest_s: oldest_s[lane],
        };
        let Prediction { ttft_s, total_s, .. } =
            predict(&standing, &prices.demand, depths[lane] * prices.block_tokens);
        ttfts[lane] = ttft_s + bars[lane];
        totals[lane] = total_s + prices.evicted_s(&standing, depths[lane]) + bars[lane];
    }
    least(&ttfts)
}

fn block(column: &[f32], at: usize) -> &[f32; BLOCK] {
    column[at..][..BLOCK].try_into().expect("columns come in whole blocks")
}

fn block_mut(column: &mut [f32], at: usize) -> &mut [f32; BLOCK] {
    (&mut column[at..][..BLOCK]).try_into().expect("columns come in whole blocks")
}

/// The least of a block. Halves are compared lane by lane, which the compiler does for several at once.
#[inline(always)]
fn least(values: &[f32; BLOCK]) -> f32 {
    let mut lanes = [f32::INFINITY; 8];
    for chunk in values.chunks_exact(8) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value < *lane { *value } else { *lane };
        }
    }
    lanes.into_iter().fold(f32::INFINITY, f32::min)
}
