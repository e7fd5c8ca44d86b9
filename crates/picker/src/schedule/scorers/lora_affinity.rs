//! `lora-affinity-scorer`: the endpoint that has the adapter.

use crate::pool::Slot;
use crate::schedule::{Cycle, Scorer};

/// Adapter running 1.0; free slot 0.8; adapter waiting 0.6; else 0.
pub struct LoraAffinityScorer;

impl Scorer for LoraAffinityScorer {
    fn name(&self) -> &'static str {
        "lora-affinity-scorer"
    }

    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]) {
        let Some(model) = &cycle.request.model else { return };
        for (score, slot) in scores.iter_mut().zip(candidates) {
            let Some(fact) = &cycle.pool[*slot].reported.adapters else { continue };
            let adapters = &fact.value;
            let taken = adapters.running.len() + adapters.waiting.len();
            *score = if adapters.running.contains(model) {
                1.0
            } else if taken < adapters.slots as usize {
                0.8
            } else if adapters.waiting.contains(model) {
                0.6
            } else {
                0.0
            };
        }
    }
}
