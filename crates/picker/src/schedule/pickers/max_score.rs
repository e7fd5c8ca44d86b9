//! `max-score-picker`: the highest score, at random among equals.

use fastrand::Rng;

use crate::pool::Slot;
use crate::schedule::{Cycle, Picker};

/// Chooses the highest score.
pub struct MaxScorePicker;

impl Picker for MaxScorePicker {
    fn name(&self) -> &'static str {
        "max-score-picker"
    }

    fn pick(&mut self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &[f32], rng: &mut Rng) -> usize {
        let _ = cycle;
        let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let equals = scores.iter().filter(|score| **score == best).count();
        let nth = if equals > 1 { rng.usize(..equals) } else { 0 };
        let chosen = (0..candidates.len()).filter(|index| scores[*index] == best).nth(nth);
        chosen.unwrap_or_default()
    }

    fn wants_best(&self) -> bool {
        true
    }
}
