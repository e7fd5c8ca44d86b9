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
        let shortest = cycle.total_s_min(candidates);
        for (score, slot) in scores.iter_mut().zip(candidates) {
            *score = shortest / cycle.total_s(*slot);
        }
    }

    fn keep_best(&self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>) -> bool {
        cycle.keep_least_total(candidates);
        true
    }
}
