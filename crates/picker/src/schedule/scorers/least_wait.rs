//! `least-wait-scorer`: the endpoint where the request is expected to wait and run shortest.

use crate::pool::Slot;
use crate::schedule::{Cycle, Scorer};

/// Scores `shortest expected time / expected time`: magnitudes stay visible, however many endpoints there are.
pub struct LeastWaitScorer;

impl Scorer for LeastWaitScorer {
    fn name(&self) -> &'static str {
        "least-wait-scorer"
    }

    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]) {
        let total = |slot: &Slot| cycle.prediction(*slot).total_s + cycle.eviction_s(*slot);
        let shortest = candidates.iter().map(total).fold(f64::INFINITY, f64::min);
        for (score, slot) in scores.iter_mut().zip(candidates) {
            *score = (shortest / total(slot)) as f32;
        }
    }
}
