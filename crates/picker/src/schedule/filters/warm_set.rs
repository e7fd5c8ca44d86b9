//! `warm-set-filter`: the endpoint that has most of the prompt cached is kept unless it is too far behind.
//!
//! Only what no other endpoint has counts: a prefix that several share is no reason to stay. Moving costs more than
//! the request's own recompute, which the cost model sees: it also pushes out what the other endpoint had cached and
//! delays what waits there.

use crate::pool::Slot;
use crate::schedule::{Cycle, Filter};

/// How far behind the best endpoint the warm one may be, in recomputes of what only it has.
const LEAD_RECOMPUTES: f64 = 4.0;

/// Keeps warm endpoints until they are saturated.
pub struct WarmSetFilter;

impl Filter for WarmSetFilter {
    fn name(&self) -> &'static str {
        "warm-set-filter"
    }

    fn filter(&self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>) {
        let hit = |slot: &Slot| f64::from(cycle.hit_tokens(*slot));
        let (mut best_hit, mut second_hit) = (0.0, 0.0);
        for slot in candidates.iter() {
            let hit = hit(slot);
            if hit > best_hit {
                (best_hit, second_hit) = (hit, best_hit);
            } else if hit > second_hit {
                second_hit = hit;
            }
        }
        let own = best_hit - second_hit;
        if own <= 0.0 {
            return;
        }
        let warm = |slot: &Slot| hit(slot) == best_hit;
        let wait = |slot: &Slot| cycle.prediction(*slot).ttft_s;
        let best_warm =
            candidates.iter().filter(|slot| warm(slot)).min_by(|a, b| wait(a).total_cmp(&wait(b)));
        let Some(best_warm) = best_warm else { return };
        let best = candidates.iter().map(wait).fold(f64::INFINITY, f64::min);
        let recompute = own * cycle.pool[*best_warm].speed.prefill_s_per_token();
        if wait(best_warm) - best <= LEAD_RECOMPUTES * recompute {
            candidates.retain(warm);
        }
    }
}
