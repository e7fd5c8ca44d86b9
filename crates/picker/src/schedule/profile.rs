//! The scheduling seams and the run of a profile over them.

use fastrand::Rng;

use super::cycle::Cycle;
use crate::pool::Slot;
use crate::verdict::CandidateWhy;

/// Shortens the list of candidates. Leaving none means that the request waits.
pub trait Filter: Send + Sync {
    /// Its type name in configuration.
    fn name(&self) -> &'static str;
    /// Keeps the candidates that may serve the request.
    fn filter(&self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>);
}

/// Scores candidates.
pub trait Scorer: Send + Sync {
    /// Its type name in configuration.
    fn name(&self) -> &'static str;
    /// Writes a score from 0 (worst) to 1 (best) for each candidate; `scores` comes in as zeros.
    fn score(&self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &mut [f32]);
}

/// Chooses among scored candidates.
pub trait Picker: Send + Sync {
    /// Its type name in configuration.
    fn name(&self) -> &'static str;
    /// The index of the chosen candidate; there is at least one.
    fn pick(&mut self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &[f32], rng: &mut Rng) -> usize;
}

/// Filters, weighted scorers and a picker, as configuration names them.
pub struct Profile {
    /// Applied in order.
    pub filters: Vec<Box<dyn Filter>>,
    /// Each with its weight.
    pub scorers: Vec<(Box<dyn Scorer>, f32)>,
    /// Chooses by the weighted sum.
    pub picker: Box<dyn Picker>,
    /// Whether a plugin reads predictions.
    pub predicts: bool,
    totals: Vec<f32>,
    scores: Vec<f32>,
}

impl Profile {
    /// A profile of these plugins.
    pub fn new(
        filters: Vec<Box<dyn Filter>>,
        scorers: Vec<(Box<dyn Scorer>, f32)>,
        picker: Box<dyn Picker>,
        predicts: bool,
    ) -> Profile {
        Profile { filters, scorers, picker, predicts, totals: Vec::new(), scores: Vec::new() }
    }

    /// Chooses among `candidates`, which shrinks to what the filters left. `why` has an entry for each endpoint
    /// where the reasons are wanted.
    pub fn choose(
        &mut self,
        cycle: &Cycle<'_>,
        candidates: &mut Vec<Slot>,
        rng: &mut Rng,
        mut why: Option<&mut [CandidateWhy]>,
    ) -> Option<Slot> {
        for filter in &self.filters {
            let before = why.is_some().then(|| candidates.clone());
            filter.filter(cycle, candidates);
            if let (Some(before), Some(why)) = (before, why.as_deref_mut()) {
                for slot in before.iter().filter(|slot| !candidates.contains(slot)) {
                    if let Some(candidate) = entry(why, cycle, *slot) {
                        candidate.dropped_by = Some(filter.name());
                    }
                }
            }
        }
        if candidates.is_empty() {
            return None;
        }
        self.totals.clear();
        self.totals.resize(candidates.len(), 0.0);
        for (scorer, weight) in &self.scorers {
            self.scores.clear();
            self.scores.resize(candidates.len(), 0.0);
            scorer.score(cycle, candidates, &mut self.scores);
            for (total, score) in self.totals.iter_mut().zip(&self.scores) {
                *total += weight * score.clamp(0.0, 1.0);
            }
            if let Some(why) = why.as_deref_mut() {
                for (slot, score) in candidates.iter().zip(&self.scores) {
                    if let Some(candidate) = entry(why, cycle, *slot) {
                        candidate.scores.push((scorer.name(), *score));
                    }
                }
            }
        }
        let chosen = self.picker.pick(cycle, candidates, &self.totals, rng);
        candidates.get(chosen).copied()
    }
}

fn entry<'w>(why: &'w mut [CandidateWhy], cycle: &Cycle<'_>, slot: Slot) -> Option<&'w mut CandidateWhy> {
    let id = cycle.pool[slot].endpoint.id;
    why.iter_mut().find(|candidate| candidate.endpoint == id)
}
