//! What a metrics page needs: gauges of the moment and counters since the start, in vLLM's meaning.
//!
//! Per-request figures (times, tokens) come with [`crate::Output::Finished`]; drivers keep those histograms, since they
//! know by how much they stretch time.

/// Upper bounds of vLLM's `iteration_tokens_total` buckets.
const ITERATION_BOUNDS: [u32; 14] =
    [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, u32::MAX];

/// A snapshot of one engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// Running sequences.
    pub running: u32,
    /// Sequences that wait for blocks or a place.
    pub waiting_capacity: u32,
    /// Sequences that wait for an adapter slot.
    pub waiting_deferred: u32,
    /// Share of KV blocks in use, 0 to 1; cached blocks that nobody uses count as free.
    pub kv_usage: f64,
    /// KV blocks, the null block included.
    pub kv_blocks: u32,
    /// Counters since the start.
    pub counters: Counters,
    /// Tokens per step since the start.
    pub iteration_tokens: IterationTokens,
}

impl Stats {
    /// All waiting sequences (vLLM's `num_requests_waiting`).
    pub fn waiting(&self) -> u32 {
        self.waiting_capacity + self.waiting_deferred
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Prompt tokens looked up in the prefix cache, at first admission.
    pub prefix_cache_queries: u64,
    /// Of these, found.
    pub prefix_cache_hits: u64,
    /// Sequences thrown out of the running list for want of blocks.
    pub preemptions: u64,
    /// Prompt tokens of sequences whose prefill has ended.
    pub prompt_tokens: u64,
    /// Of these, taken from the prefix cache.
    pub prompt_tokens_cached: u64,
    /// Generated tokens.
    pub generation_tokens: u64,
    /// Sequences that ended by themselves.
    pub finished_stop: u64,
    /// Sequences that ended at their limit.
    pub finished_length: u64,
    /// Sequences that were cancelled.
    pub cancelled: u64,
    /// Jobs refused because the queue was full.
    pub refused_queue_full: u64,
    /// Adapters brought to the GPU.
    pub lora_loads: u64,
    /// Steps begun.
    pub steps: u64,
    /// Time in steps, in ns.
    pub busy_ns: u64,
}

/// Histogram of tokens per step with vLLM's buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IterationTokens {
    counts: [u64; ITERATION_BOUNDS.len()],
    sum: u64,
}

impl IterationTokens {
    pub(crate) fn observe(&mut self, tokens: u32) {
        let bucket = ITERATION_BOUNDS.partition_point(|bound| *bound < tokens);
        self.counts[bucket] += 1;
        self.sum += u64::from(tokens);
    }

    /// Upper bound and cumulative count of each bucket; the last bound is `None`, meaning +Inf.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u32>, u64)> + '_ {
        let mut total = 0;
        ITERATION_BOUNDS.iter().zip(self.counts).map(move |(bound, count)| {
            total += count;
            ((*bound != u32::MAX).then_some(*bound), total)
        })
    }

    /// Sum of the observed values.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_counts_in_every_bucket_that_holds_it() {
        let mut histogram = IterationTokens::default();
        for tokens in [1, 8, 9, 20_000] {
            histogram.observe(tokens);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets[..3], [(Some(1), 1), (Some(8), 2), (Some(16), 3)]);
        assert_eq!(buckets[13], (None, 4));
        assert_eq!(histogram.sum(), 20_018);
    }
}
