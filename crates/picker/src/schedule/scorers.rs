//! Scorers, one a file. Those with upstream's names have upstream's formulae and defaults.

mod active_request;
mod kv_cache_utilization;
mod least_wait;
mod lora_affinity;
mod prefix_cache;
mod queue;
mod running_requests_size;
mod token_load;

pub use active_request::ActiveRequestScorer;
pub use kv_cache_utilization::KvCacheUtilizationScorer;
pub use least_wait::LeastWaitScorer;
pub use lora_affinity::LoraAffinityScorer;
pub use prefix_cache::PrefixCacheScorer;
pub use queue::QueueScorer;
pub use running_requests_size::RunningRequestsSizeScorer;
pub use token_load::TokenLoadScorer;

/// Scores `values` so that the smallest gets 1 and the largest 0; all 1 where they are equal.
fn lower_is_better(values: impl Iterator<Item = f32> + Clone, scores: &mut [f32]) {
    let (least, most) = values
        .clone()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)));
    for (score, value) in scores.iter_mut().zip(values) {
        *score = if most > least { (most - value) / (most - least) } else { 1.0 };
    }
}
