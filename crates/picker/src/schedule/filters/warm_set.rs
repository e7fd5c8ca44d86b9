//! `warm-set-filter`: the endpoint that has most of the prompt cached is kept unless it is too far behind.
//!
//! Only what no other endpoint has counts: a prefix that several share is no reason to stay. Moving costs more than
//! the request's own recompute, which the cost model sees: it also pushes out what the other endpoint had cached and
//! delays what waits there.

use crate::pool::Slot;
use crate::schedule::{Cycle, Filter};

/// How far behind the best endpoint the warm one may be, in recomputes of what only it has.
const LEAD_RECOMPUTES: f32 = 4.0;

/// Keeps warm endpoints until they are saturated.
pub struct WarmSetFilter;

impl Filter for WarmSetFilter {
    fn name(&self) -> &'static str {
        "warm-set-filter"
    }

    fn filter(&self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>) {
        let Some((warmest, own_tokens)) = cycle.warmest(candidates) else { return };
        let recompute_s = own_tokens as f32 * cycle.pool.standings().prefill_s_per_token[warmest.index()];
        let lead_s = LEAD_RECOMPUTES * recompute_s;
        let ttft_s = cycle.prediction(warmest).ttft_s;
        // Mostly it could not be too far behind even an idle endpoint; then the others need not be asked.
        if ttft_s <= lead_s || ttft_s - cycle.ttft_s_min(candidates) <= lead_s {
            candidates.clear();
            candidates.push(warmest);
        }
    }
}
