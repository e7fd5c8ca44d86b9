//! `kv-cache-utilization-scorer`: the most free KV cache.

use crate::pool::Slot;
use crate::schedule::{Cycle, Scorer};

/// Scores `1 − usage`.
pub struct KvCacheUtilizationScorer;

impl Scorer for KvCacheUtilizationScorer {
    fn name(&self) -> &'static str {
        "kv-cache-utilization-scorer"
    }

    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]) {
        for (score, slot) in scores.iter_mut().zip(candidates) {
            *score = 1.0 - cycle.pool[*slot].reported.kv_usage();
        }
    }
}
