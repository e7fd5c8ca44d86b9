//! `token-load-scorer`: the fewest tokens in flight by our own account.

use crate::pool::Slot;
use crate::schedule::{Cycle, Scorer};

/// Upstream's `queueThresholdTokens`.
const QUEUE_THRESHOLD_TOKENS: f32 = 4_194_304.0;

/// Scores `1 − min(1, tokens / threshold)`.
pub struct TokenLoadScorer;

impl Scorer for TokenLoadScorer {
    fn name(&self) -> &'static str {
        "token-load-scorer"
    }

    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]) {
        for (score, slot) in scores.iter_mut().zip(candidates) {
            let tokens = cycle.pool[*slot].account.prefill_tokens as f32;
            *score = 1.0 - (tokens / QUEUE_THRESHOLD_TOKENS).min(1.0);
        }
    }
}
