//! The scheduling seams and the run of a profile over them.

use std::collections::HashSet;

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
    /// Drops candidates that score less than another. Called instead of `score` where this is the only scorer, the
    /// picker wants the best and nobody asked for the scores.
    fn keep_best(&self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>) -> bool {
        let _ = (cycle, candidates);
        false
    }
}

/// Chooses among scored candidates.
pub trait Picker: Send + Sync {
    /// Its type name in configuration.
    fn name(&self) -> &'static str;
    /// The index of the chosen candidate; there is at least one.
    fn pick(&mut self, cycle: &Cycle<'_>, candidates: &[Slot], scores: &[f32], rng: &mut Rng) -> usize;
    /// Whether it only ever chooses among the best.
    fn wants_best(&self) -> bool {
        false
    }
}

/// Where the reasons of one decision are written: an entry for each slot, in slot order.
pub struct Reasons<'a> {
    slots: &'a [Slot],
    entries: &'a mut [CandidateWhy],
}

impl<'a> Reasons<'a> {
    /// `entries` belong to `slots`, one each, in slot order.
    pub fn new(slots: &'a [Slot], entries: &'a mut [CandidateWhy]) -> Reasons<'a> {
        Reasons { slots, entries }
    }

    fn of(&mut self, slot: Slot) -> Option<&mut CandidateWhy> {
        let at = self.slots.binary_search(&slot).ok()?;
        self.entries.get_mut(at)
    }
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

    /// Chooses among `candidates`, which shrinks to what the filters left.
    pub fn choose(
        &mut self,
        cycle: &Cycle<'_>,
        candidates: &mut Vec<Slot>,
        rng: &mut Rng,
        mut why: Option<Reasons<'_>>,
    ) -> Option<Slot> {
        for filter in &self.filters {
            match &mut why {
                None => filter.filter(cycle, candidates),
                Some(why) => explain_filter(filter.as_ref(), cycle, candidates, why),
            }
        }
        if candidates.is_empty() {
            return None;
        }
        if candidates.len() > 1 || why.is_some() {
            self.score(cycle, candidates, why);
        } else {
            self.totals.clear();
            self.totals.push(0.0);
        }
        let chosen = self.picker.pick(cycle, candidates, &self.totals, rng);
        candidates.get(chosen).copied()
    }

    /// Writes the weighted sum of scores for each candidate; candidates that cannot win may go.
    fn score(&mut self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>, mut why: Option<Reasons<'_>>) {
        self.totals.clear();
        if let ([(scorer, _)], true, None) = (&self.scorers[..], self.picker.wants_best(), &why)
            && scorer.keep_best(cycle, candidates)
        {
            self.totals.resize(candidates.len(), 0.0);
            return;
        }
        self.totals.resize(candidates.len(), 0.0);
        for (scorer, weight) in &self.scorers {
            self.scores.clear();
            self.scores.resize(candidates.len(), 0.0);
            scorer.score(cycle, candidates, &mut self.scores);
            for (total, score) in self.totals.iter_mut().zip(&self.scores) {
                *total += weight * score.clamp(0.0, 1.0);
            }
            let Some(why) = &mut why else { continue };
            for (slot, score) in candidates.iter().zip(&self.scores) {
                if let Some(candidate) = why.of(*slot) {
                    candidate.scores.push((scorer.name(), *score));
                }
            }
        }
    }
}

fn explain_filter(filter: &dyn Filter, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>, why: &mut Reasons<'_>) {
    let before = candidates.clone();
    filter.filter(cycle, candidates);
    let kept: HashSet<Slot> = candidates.iter().copied().collect();
    for slot in before.iter().filter(|slot| !kept.contains(slot)) {
        if let Some(candidate) = why.of(*slot) {
            candidate.dropped_by = Some(filter.name());
        }
    }
}
