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
        for (score, slot) in scores.iter_mut().zip(candidates) {
            *score = cycle.total_s(*slot);
        }
        let shortest = scores.iter().copied().fold(f32::INFINITY, f32::min);
        for score in scores {
            *score = shortest / *score;
        }
    }

    fn keep_best(&self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>) -> bool {
        cycle.keep_least_total(candidates);
        true
    }
}
