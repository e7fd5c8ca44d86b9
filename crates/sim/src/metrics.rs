//! What a server has done, in the measures that vLLM reports.
//!
//! Written by the driver as the engine's outputs come by, read when a page is asked for. Times are seconds on
//! the wall clock: a server that is stretched ten times reports ten times longer latencies, as a real one that
//! slow would. Must not know the page's text.

use std::time::Duration;

use roadstead_engine::Timings;

use crate::clock::Clock;

/// Bounds of `vllm:time_to_first_token_seconds`.
const FIRST_TOKEN_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
];
/// Bounds of the histograms of time per token.
const PER_TOKEN_S: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
/// Bounds of the histograms over a whole request.
const REQUEST_S: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
];
const PARAMS_N: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0];
const PREEMPTIONS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0];

/// Counts of observations by upper bound.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: Box<[f64]>,
    /// Per bound, not cumulative; the last one is for what exceeds all bounds.
    counts: Box<[u64]>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Histogram {
        Histogram { bounds: bounds.into(), counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// Records one observation.
    pub(crate) fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Upper bounds, without the infinite one.
    pub(crate) fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Observations per bound, and beyond all bounds.
    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Sum of all observations.
    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }
}

/// One finished request, as the engine tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedJob {
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) preemptions: u32,
    /// The request's own limit, where it had one.
    pub(crate) max_tokens: Option<u32>,
    /// How many answers its request asked for.
    pub(crate) n: u32,
    pub(crate) timings: Timings,
}

/// Everything that is summed up over a server's life and not by the engine itself.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) prompt_tokens: Histogram,
    pub(crate) generation_tokens: Histogram,
    pub(crate) max_generation_tokens: Histogram,
    pub(crate) params_n: Histogram,
    pub(crate) params_max_tokens: Histogram,
    pub(crate) first_token_s: Histogram,
    pub(crate) inter_token_s: Histogram,
    pub(crate) per_output_token_s: Histogram,
    pub(crate) e2e_s: Histogram,
    pub(crate) queue_s: Histogram,
    pub(crate) inference_s: Histogram,
    pub(crate) prefill_s: Histogram,
    pub(crate) decode_s: Histogram,
    pub(crate) preemptions: Histogram,
    pub(crate) prefill_computed_tokens: Histogram,
}

impl Metrics {
    /// Nothing recorded yet. Token histograms reach up to `max_model_len`.
    pub(crate) fn new(max_model_len: u32) -> Metrics {
        let tokens = one_two_five(max_model_len);
        let tokens = || Histogram::new(&tokens);
        Metrics {
            prompt_tokens: tokens(),
            generation_tokens: tokens(),
            max_generation_tokens: tokens(),
            params_n: Histogram::new(PARAMS_N),
            params_max_tokens: tokens(),
            first_token_s: Histogram::new(FIRST_TOKEN_S),
            inter_token_s: Histogram::new(PER_TOKEN_S),
            per_output_token_s: Histogram::new(PER_TOKEN_S),
            e2e_s: Histogram::new(REQUEST_S),
            queue_s: Histogram::new(REQUEST_S),
            inference_s: Histogram::new(REQUEST_S),
            prefill_s: Histogram::new(REQUEST_S),
            decode_s: Histogram::new(REQUEST_S),
            preemptions: Histogram::new(PREEMPTIONS),
            prefill_computed_tokens: tokens(),
        }
    }

    /// Records the end of a request. vLLM counts a request's parameters then, too.
    pub(crate) fn finished(&mut self, job: &FinishedJob, clock: &Clock) {
        let Timings { arrived, scheduled, first_token, finished } = job.timings;
        let seconds = |from: Duration, to: Duration| clock.real(to.saturating_sub(from)).as_secs_f64();
        let decode_s = seconds(first_token, finished);
        self.e2e_s.observe(seconds(arrived, finished));
        self.queue_s.observe(seconds(arrived, scheduled));
        self.prefill_s.observe(seconds(scheduled, first_token));
        self.inference_s.observe(seconds(scheduled, finished));
        self.decode_s.observe(decode_s);
        self.preemptions.observe(f64::from(job.preemptions));
        self.prefill_computed_tokens.observe(f64::from(job.prompt_tokens.saturating_sub(job.cached_tokens)));
        self.prompt_tokens.observe(f64::from(job.prompt_tokens));
        self.generation_tokens.observe(f64::from(job.output_tokens));
        self.max_generation_tokens.observe(f64::from(job.output_tokens));
        self.params_n.observe(f64::from(job.n));
        self.per_output_token_s.observe(decode_s / f64::from(job.output_tokens.saturating_sub(1).max(1)));
        if let Some(max_tokens) = job.max_tokens {
            self.params_max_tokens.observe(f64::from(max_tokens));
        }
    }
}

/// 1, 2, 5, 10, 20, 50 … up to and including `max`. Source: vLLM `build_1_2_5_buckets`.
fn one_two_five(max: u32) -> Vec<f64> {
    let mut bounds = Vec::new();
    let mut decade = 1.0;
    loop {
        for mantissa in [1.0, 2.0, 5.0] {
            let bound = mantissa * decade;
            if bound > f64::from(max) {
                return bounds;
            }
            bounds.push(bound);
        }
        decade *= 10.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_bounds_stop_at_the_model_limit() {
        assert_eq!(one_two_five(4096).last(), Some(&2000.0));
        assert_eq!(one_two_five(5), [1.0, 2.0, 5.0]);
    }

    #[test]
    fn an_observation_on_a_bound_belongs_to_it() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 2.0, 2.5] {
            histogram.observe(value);
        }
        assert_eq!(histogram.counts(), [2, 1, 1]);
        assert_eq!(histogram.sum(), 6.0);
    }
}
