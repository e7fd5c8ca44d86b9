//! `adapter-tier-filter`: a request for an adapter goes where the adapter is, else where a slot is free, else where
//! it can be loaded.

use crate::pool::Slot;
use crate::schedule::{Cycle, Filter};

/// How much longer than elsewhere a request may wait where its adapter is, in adapter loads and runs of its own:
/// beyond it the next tier is open too.
const LEAD_RUNS: f64 = 4.0;

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
        let Some(best) = candidates.iter().map(|slot| cycle.adapter_place(*slot)).min() else { return };
        let wait = |slot: &Slot| cycle.prediction(*slot).ttft_s;
        let least = |only_best: bool| {
            candidates
                .iter()
                .filter(|slot| !only_best || cycle.adapter_place(**slot) == best)
                .map(wait)
                .fold(f64::INFINITY, f64::min)
        };
        let run_s = candidates
            .iter()
            .map(|slot| cycle.prediction(*slot))
            .map(|prediction| prediction.total_s - prediction.ttft_s)
            .fold(f64::INFINITY, f64::min);
        if least(true) - least(false) <= LEAD_RUNS * run_s {
            candidates.retain(|slot| cycle.adapter_place(*slot) == best);
        }
    }
}
