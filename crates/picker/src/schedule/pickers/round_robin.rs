//! `round-robin-picker`: one endpoint after the other.

use fastrand::Rng;

use crate::pool::Slot;
use crate::schedule::{Cycle, Picker};

/// Chooses the next endpoint in pool order; scores do not count.
#[derive(Debug, Default)]
pub struct RoundRobinPicker {
    last: Option<Slot>,
}

impl Picker for RoundRobinPicker {
    fn name(&self) -> &'static str {
        "round-robin-picker"
    }

    fn pick(&mut self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &[f32], rng: &mut Rng) -> usize {
        let _ = (cycle, scores, rng);
        let next = match self.last {
            Some(last) => candidates.iter().position(|slot| *slot > last).unwrap_or(0),
            None => 0,
        };
        self.last = candidates.get(next).copied();
        next
    }
}
