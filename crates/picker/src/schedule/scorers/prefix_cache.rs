//! `prefix-cache-scorer`: the longest cached prefix.

use crate::pool::Slot;
use crate::schedule::{Cycle, Scorer};

/// Scores `matched blocks / blocks of the prompt` (upstream's `matchLengthWeight` 0).
pub struct PrefixCacheScorer;

impl Scorer for PrefixCacheScorer {
    fn name(&self) -> &'static str {
        "prefix-cache-scorer"
    }

    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]) {
        let blocks = cycle.request.prefix.len() as f32;
        if blocks == 0.0 {
            return;
        }
        for (score, slot) in scores.iter_mut().zip(candidates) {
            *score = cycle.hit_blocks(*slot) as f32 / blocks;
        }
    }
}
