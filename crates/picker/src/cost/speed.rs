//! How fast one endpoint is, learned from the answers it gave.

use std::time::Duration;

use super::average::RatioAverage;
use super::law::PRIOR_PREFILL_S_PER_TOKEN;

/// Prompt tokens' worth of trust in the pool's speed against an endpoint's own.
const PRIOR_TOKENS: f64 = 2_048.0;
/// Seconds of generic decoding worth of trust in the pool's scale against an endpoint's own.
const PRIOR_STEP_S: f64 = 0.5;

/// How much faster or slower than the pool an endpoint must be for that to count. Less is noise, and noise would send
/// every request that comes to an idle pool to the same endpoint.
const ALIKE: f64 = 0.1;

/// How long an endpoint without work keeps most of what was learned of it. One that seemed slow and gets nothing for
/// that would otherwise seem slow for ever.
const IDLE_KEEPS: Duration = Duration::from_secs(5);

/// What a first token says about prefill speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstTokenSample {
    /// Seconds from dispatch to first token, less what was not prefill.
    pub seconds: f64,
    /// Prompt tokens to compute that were ahead at dispatch.
    pub ahead_tokens: f64,
    /// Its own prompt tokens that were not expected in the cache.
    pub uncached_tokens: f64,
    /// All of its own prompt tokens.
    pub prompt_tokens: f64,
}

/// Learned speed of one endpoint, or of a pool taken together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    prefill: RatioAverage,
    step: RatioAverage,
    prefill_s_per_token: f64,
    step_scale: f64,
}

impl Default for Speed {
    fn default() -> Speed {
        Speed {
            prefill: RatioAverage::default(),
            step: RatioAverage::default(),
            prefill_s_per_token: PRIOR_PREFILL_S_PER_TOKEN,
            step_scale: 1.0,
        }
    }
}

impl Speed {
    /// Seconds for each prompt token that must be computed.
    pub fn prefill_s_per_token(&self) -> f64 {
        self.prefill_s_per_token
    }

    /// Its decode steps against the generic engine's.
    pub fn step_scale(&self) -> f64 {
        self.step_scale
    }

    /// Takes over `prior`, the pool's speed, where the endpoint has shown little of its own or hardly differs.
    pub fn shrink_towards(&mut self, prior: &Speed) {
        let step_scale = self.step.value(prior.step_scale, PRIOR_STEP_S);
        self.step_scale = unless_alike(step_scale, prior.step_scale);
        let prefill_s_per_token = self.prefill.value(prior.prefill_s_per_token, PRIOR_TOKENS);
        self.prefill_s_per_token = unless_alike(prefill_s_per_token, prior.prefill_s_per_token);
    }

    /// It had no work for `idle`: its own speed counts for less, the pool's for more.
    pub fn fade(&mut self, idle: Duration, pool: &Speed) {
        let share = (-idle.div_duration_f64(IDLE_KEEPS)).exp();
        self.step.fade(share);
        self.prefill.fade(share);
        self.shrink_towards(pool);
    }

    /// The speed of all endpoints together: starts at the generic engine. Where prompts were never timed but
    /// steps were, prefill is taken to scale as steps do.
    pub fn settle_pool(&mut self) {
        self.step_scale = self.step.value(1.0, PRIOR_STEP_S / 10.0);
        let prior = PRIOR_PREFILL_S_PER_TOKEN * self.step_scale;
        self.prefill_s_per_token = self.prefill.value(prior, PRIOR_TOKENS / 10.0);
    }

    /// A first token came.
    ///
    /// A time that lies between "the cache had what we thought" and "the cache had nothing" says something about
    /// the cache, not about the speed, and confirms the speed that we have.
    pub fn first_token(&mut self, sample: &FirstTokenSample) {
        let FirstTokenSample { seconds, ahead_tokens, uncached_tokens, prompt_tokens } = *sample;
        let least = ahead_tokens + uncached_tokens;
        let most = ahead_tokens + prompt_tokens;
        let tokens = (seconds / self.prefill_s_per_token).clamp(least, most);
        self.prefill.add(seconds.max(0.0), tokens);
    }

    /// Decoding took `seconds` where the generic engine would have taken `generic_s`.
    pub fn decoded(&mut self, seconds: f64, generic_s: f64) {
        self.step.add(seconds, generic_s);
    }
}

/// `own`, or the pool's value where the two are about the same.
fn unless_alike(own: f64, pool: f64) -> f64 {
    if (own - pool).abs() <= ALIKE * pool { pool } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded_at(scale: f64) -> Speed {
        let mut speed = Speed::default();
        for _ in 0..50 {
            speed.decoded(scale, 1.0);
        }
        speed
    }

    #[test]
    fn an_endpoint_about_as_fast_as_the_pool_counts_as_just_as_fast() {
        let mut pool = decoded_at(2.0);
        pool.settle_pool();
        let mut endpoint = decoded_at(2.1);
        endpoint.shrink_towards(&pool);
        assert_eq!(endpoint.step_scale(), pool.step_scale());
        assert_eq!(endpoint.prefill_s_per_token(), pool.prefill_s_per_token());
    }

    #[test]
    fn an_endpoint_that_is_slower_than_the_pool_shows_it() {
        let mut pool = decoded_at(2.0);
        pool.settle_pool();
        let mut endpoint = decoded_at(3.0);
        endpoint.shrink_towards(&pool);
        assert!((2.8..=3.0).contains(&endpoint.step_scale()), "{}", endpoint.step_scale());
    }
}
