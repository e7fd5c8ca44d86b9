//! `least-request-picker`: the fewest requests in flight by our own account, at random among equals.

use fastrand::Rng;

use crate::pool::Slot;
use crate::schedule::{Cycle, Picker};

/// Chooses the endpoint with the fewest requests in flight; scores do not count.
pub struct LeastRequestPicker;

impl Picker for LeastRequestPicker {
    fn name(&self) -> &'static str {
        "least-request-picker"
    }

    fn pick(&mut self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &[f32], rng: &mut Rng) -> usize {
        let _ = scores;
        let requests = |index: &usize| cycle.pool[candidates[*index]].account.requests;
        let fewest = (0..candidates.len()).map(|index| requests(&index)).min().unwrap_or(0);
        let equals = (0..candidates.len()).filter(|index| requests(index) == fewest).count();
        let nth = rng.usize(..equals.max(1));
        (0..candidates.len()).filter(|index| requests(index) == fewest).nth(nth).unwrap_or(0)
    }
}
