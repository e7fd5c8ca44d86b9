//! `random-picker`: any candidate, all equally likely.

use fastrand::Rng;

use crate::pool::Slot;
use crate::schedule::{Cycle, Picker};

/// Chooses at random; scores do not count.
pub struct RandomPicker;

impl Picker for RandomPicker {
    fn name(&self) -> &'static str {
        "random-picker"
    }

    fn pick(&mut self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &[f32], rng: &mut Rng) -> usize {
        let _ = (cycle, scores);
        rng.usize(..candidates.len())
    }
}
