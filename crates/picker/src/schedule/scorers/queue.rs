//! `queue-scorer`: the fewest queued requests, normalised between the shortest and the longest queue.

use crate::pool::Slot;
use crate::schedule::{Cycle, Scorer};

/// Scores `(longest − queue) / (longest − shortest)`; 1 where all are equal.
pub struct QueueScorer;

impl Scorer for QueueScorer {
    fn name(&self) -> &'static str {
        "queue-scorer"
    }

    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]) {
        super::lower_is_better(
            candidates.iter().map(|slot| cycle.pool[*slot].reported.waiting() as f32),
            scores,
        );
    }
}
