//! `adapter-tier-filter`: a request for an adapter goes where the adapter is, else where a slot is free, else where
//! it can be loaded.

use crate::pool::{AdapterPlace, Slot};
use crate::schedule::{Cycle, Filter};

/// How much longer than elsewhere a request may wait where its adapter is, in adapter loads and runs of its own:
/// beyond it the next tier is open too.
const LEAD_RUNS: f32 = 4.0;

/// Keeps the best tier that has candidates, unless its lead in waiting time is too large.
pub struct AdapterTierFilter;

impl Filter for AdapterTierFilter {
    fn name(&self) -> &'static str {
        "adapter-tier-filter"
    }

    fn filter(&self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>) {
        if cycle.adapter.is_none() || candidates.len() < 2 {
            return;
        }
        let places: Vec<AdapterPlace> = candidates.iter().map(|slot| cycle.adapter_place(*slot)).collect();
        let Some(best) = places.iter().copied().min() else { return };
        let in_best = candidates.iter().zip(&places).filter(|(_, place)| **place == best);
        let best_s = in_best.map(|(slot, _)| cycle.prediction(*slot).ttft_s).fold(f32::INFINITY, f32::min);
        let run_s = candidates
            .iter()
            .map(|slot| cycle.prediction(*slot))
            .map(|prediction| prediction.total_s - prediction.ttft_s)
            .fold(f32::INFINITY, f32::min);
        if best_s - cycle.ttft_s_min(candidates) <= LEAD_RUNS * run_s {
            let mut places = places.into_iter();
            candidates.retain(|_| places.next() == Some(best));
        }
    }
}
