//! What a request would cost on every candidate, in passes over the pool's columns.
//!
//! Sixty-four slots at a time and without a branch inside, so that the compiler works on several endpoints at once.
//! Blocks without a candidate are skipped; so is what cannot matter anywhere in a block.

use super::candidates::Candidates;
use crate::cost::{Demand, Prediction, Standing, larger, predict, smaller};
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
    /// What an evicted token is worth, as a multiple of computing it, times its age in seconds.
    pub(super) evicted_worth: f32,
}

/// Prices, and the columns that they are for.
#[derive(Clone, Copy)]
pub(super) struct Pricing<'a> {
    pub(super) prices: Prices,
    pub(super) standings: &'a Standings,
    pub(super) candidates: &'a Candidates,
    /// Leading prompt blocks held.
    pub(super) depths: &'a [f32],
    /// Seconds that come on top; infinite where the slot is no candidate.
    pub(super) bars: &'a [f32],
}

impl Pricing<'_> {
    /// The least time to a first token of all candidates.
    pub(super) fn ttft_s_min(&self) -> f32 {
        self.blocks().fold(f32::INFINITY, |min, at| {
            let mut ttfts = [0.0; BLOCK];
            if self.may_queue(at) {
                self.price::<true, false>(at, |lane, ttft_s, _| ttfts[lane] = ttft_s);
            } else {
                self.price::<false, false>(at, |lane, ttft_s, _| ttfts[lane] = ttft_s);
            }
            min.min(least(&ttfts))
        })
    }

    /// The candidates whose total is the least, into `cheapest`; returns that total.
    pub(super) fn cheapest(&self, cheapest: &mut Vec<Slot>) -> f32 {
        cheapest.clear();
        let mut min = f32::INFINITY;
        let mut totals = [0.0; BLOCK];
        for at in self.blocks() {
            let write = |lane: usize, _, total_s| totals[lane] = total_s;
            match (self.may_queue(at), self.may_evict(at)) {
                (false, false) => self.price::<false, false>(at, write),
                (false, true) => self.price::<false, true>(at, write),
                (true, false) => self.price::<true, false>(at, write),
                (true, true) => self.price::<true, true>(at, write),
            }
            let block_min = least(&totals);
            if block_min < min {
                min = block_min;
                cheapest.clear();
            }
            if block_min <= min {
                let equals = (at..).zip(&totals).filter(|(_, total)| **total <= min);
                cheapest.extend(equals.map(|(slot, _)| Slot::new(slot as u16)));
            }
        }
        min
    }

    /// The total on one candidate.
    pub(super) fn total_s(&self, slot: Slot) -> f32 {
        let at = slot.index();
        let standing = self.standings.row(slot);
        let depth = self.depths[at];
        let prediction = predict::<true>(&standing, &self.prices.demand, depth * self.prices.block_tokens);
        prediction.total_s + self.prices.evicted_s(&standing, depth) + self.bars[at]
    }

    /// First slots of the blocks that have candidates.
    fn blocks(&self) -> impl Iterator<Item = usize> {
        let words = self.candidates.set().words().iter().enumerate();
        words.filter(|(_, word)| **word != 0).map(|(index, _)| index * BLOCK)
    }

    /// Whether the request would wait for a place or for memory on some endpoint of the block.
    fn may_queue(&self, at: usize) -> bool {
        let floors = self.standings.floors(at);
        let Demand { sequences, prompt_tokens, .. } = self.prices.demand;
        sequences > floors.slots_free || prompt_tokens > floors.kv_free_tokens
    }

    /// Whether the prompt would push anything out of some cache of the block.
    fn may_evict(&self, at: usize) -> bool {
        self.prices.prompt_blocks > self.standings.floors(at).history_free_blocks
    }

    /// Calls `write` with each lane of the block at `at`, its time to a first token and its total.
    #[inline(always)]
    fn price<const QUEUES: bool, const EVICTS: bool>(
        &self,
        at: usize,
        mut write: impl FnMut(usize, f32, f32),
    ) {
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
            ..
        } = self.standings;
        let (step_s, step_scale, ahead_s) = (block(step_s, at), block(step_scale, at), block(ahead_s, at));
        let (prefill_s_per_token, slots_free) = (block(prefill_s_per_token, at), block(slots_free, at));
        let (turn_share, kv_free_tokens) = (block(turn_share, at), block(kv_free_tokens, at));
        let (release_share, history_free_blocks) = (block(release_share, at), block(history_free_blocks, at));
        let (oldest_s, depths, bars) = (block(oldest_s, at), block(self.depths, at), block(self.bars, at));
        let prices = self.prices;
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
            let hit_tokens = depths[lane] * prices.block_tokens;
            let Prediction { ttft_s, total_s, .. } = predict::<QUEUES>(&standing, &prices.demand, hit_tokens);
            let evicted_s = if EVICTS { prices.evicted_s(&standing, depths[lane]) } else { 0.0 };
            write(lane, ttft_s + bars[lane], total_s + evicted_s + bars[lane]);
        }
    }
}

impl Prices {
    /// Seconds of later recompute that the prompt's new blocks cost by pushing out what is cached there. The longer
    /// ago the endpoint's oldest block was used, compared with the pool's, the less it is worth.
    #[inline(always)]
    fn evicted_s(&self, standing: &Standing, depth: f32) -> f32 {
        let over = larger(self.prompt_blocks - depth - standing.history_free_blocks, 0.0);
        let age_s = larger(self.now_s - standing.oldest_s, 1e-3);
        over * self.block_tokens * standing.prefill_s_per_token * (self.evicted_worth / age_s)
    }
}

fn block(column: &[f32], at: usize) -> &[f32; BLOCK] {
    column[at..][..BLOCK].try_into().expect("columns come in whole blocks")
}

/// The least of a block, lane by lane, so that several are compared at once.
#[inline(always)]
fn least(values: &[f32; BLOCK]) -> f32 {
    let mut lanes = [f32::INFINITY; 8];
    for chunk in values.chunks_exact(8) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = smaller(*value, *lane);
        }
    }
    lanes.into_iter().fold(f32::INFINITY, f32::min)
}
