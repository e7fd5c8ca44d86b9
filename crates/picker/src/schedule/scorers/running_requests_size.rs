//! `running-requests-size-scorer`: the fewest running requests, normalised between the least and the most.

use crate::pool::Slot;
use crate::schedule::{Cycle, Scorer};

/// Scores `(most − running) / (most − least)`; 1 where all are equal.
pub struct RunningRequestsSizeScorer;

impl Scorer for RunningRequestsSizeScorer {
    fn name(&self) -> &'static str {
        "running-requests-size-scorer"
    }

    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]) {
        super::lower_is_better(
            candidates.iter().map(|slot| cycle.pool[*slot].reported.running() as f32),
            scores,
        );
    }
}
