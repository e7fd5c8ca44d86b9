//! `active-request-scorer`: the fewest requests in flight by our own account.

use crate::pool::Slot;
use crate::schedule::{Cycle, Scorer};

/// Idle endpoints score 1 (upstream's `idleThreshold` 0); busy ones `(most − requests) / most` (`maxBusyScore` 1).
pub struct ActiveRequestScorer;

impl Scorer for ActiveRequestScorer {
    fn name(&self) -> &'static str {
        "active-request-scorer"
    }

    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]) {
        let requests = |slot: &Slot| cycle.pool[*slot].account.requests as f32;
        let most = candidates.iter().map(requests).fold(0.0, f32::max);
        for (score, slot) in scores.iter_mut().zip(candidates) {
            *score = if requests(slot) == 0.0 { 1.0 } else { (most - requests(slot)) / most };
        }
    }
}
