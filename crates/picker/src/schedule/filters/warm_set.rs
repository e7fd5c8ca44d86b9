//! `warm-set-filter`: endpoints that have most of the prompt cached are kept unless they are too far behind.
//!
//! Moving a warm prompt costs more than its own recompute: it also evicts what the other endpoint had cached.

use crate::pool::Slot;
use crate::schedule::{Cycle, Filter};

/// Share of the best hit that an endpoint must have to be warm.
const WARM_SHARE: f64 = 0.8;
/// Share of the prompt that the best hit must cover for warmth to matter.
const HIT_SHARE_MIN: f64 = 0.25;
/// How far behind the best endpoint a warm one may be, in recomputes of the cached part.
const LEAD_RECOMPUTES: f64 = 2.0;

/// Keeps warm endpoints until they are saturated.
pub struct WarmSetFilter;

impl Filter for WarmSetFilter {
    fn name(&self) -> &'static str {
        "warm-set-filter"
    }

    fn filter(&self, cycle: &Cycle<'_>, candidates: &mut Vec<Slot>) {
        let prompt = f64::from(cycle.request.work.prompt_tokens);
        let hit = |slot: &Slot| f64::from(cycle.hit_tokens(*slot));
        let best_hit = candidates.iter().map(hit).fold(0.0, f64::max);
        if best_hit < HIT_SHARE_MIN * prompt || best_hit == 0.0 {
            return;
        }
        let warm = |slot: &Slot| hit(slot) >= WARM_SHARE * best_hit;
        let wait = |slot: &Slot| cycle.prediction(*slot).ttft_s;
        let best_warm =
            candidates.iter().filter(|slot| warm(slot)).min_by(|a, b| wait(a).total_cmp(&wait(b)));
        let Some(best_warm) = best_warm else { return };
        let best = candidates.iter().map(wait).fold(f64::INFINITY, f64::min);
        let recompute = best_hit * cycle.pool[*best_warm].speed.prefill_s_per_token();
        if wait(best_warm) - best <= LEAD_RECOMPUTES * recompute {
            candidates.retain(warm);
        }
    }
}
