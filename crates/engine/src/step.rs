//! The step law: how long one forward step takes, from what the step holds.
//!
//! `t = (W^p + (beta m)^p)^(1/p) + A0 + c B + d S + kappa sum q (k + q/2) + LM head + host`. The p-norm joins the regime that is
//! bound by streaming the weights with the one that is bound by the matrix products. The parameters are data (`preset`).
//! Drivers stretch time, not the law; a second law would stand beside this one behind the same two types.

use core::time::Duration;

/// Parameters of the step law for one model on one accelerator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLaw {
    /// W: the floor set by streaming the weights once, in ms.
    pub weights_ms: f64,
    /// beta: matrix-product time per token of the step, in microseconds.
    pub gemm_us_per_token: f64,
    /// p: sharpness of the joint between the two regimes.
    pub p: f64,
    /// A0: collectives and attention launch per step, in ms.
    pub base_ms: f64,
    /// c: per decoding sequence, in microseconds.
    pub per_seq_us: f64,
    /// d: per token of context of the decoding sequences, in microseconds.
    pub per_context_token_us: f64,
    /// kappa: prefill attention per pair of tokens, in picoseconds.
    pub attention_ps: f64,
    /// The LM head per step, in ms.
    pub lm_head_ms: f64,
    /// Host time per step that is not hidden behind the device, in ms.
    pub host_ms: f64,
}

/// What one step computes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepShape {
    /// m: tokens of prefill chunks and decodes together.
    pub tokens: u32,
    /// B: decoding sequences.
    pub decodes: u32,
    /// S: context tokens of the decoding sequences, summed.
    pub context_tokens: u64,
    /// Sum over prefill chunks of `q (k + q/2)`: chunk length q after k computed tokens.
    pub prefill_pairs: f64,
}

impl StepLaw {
    /// The duration of a step, host time included.
    pub fn step(&self, shape: &StepShape) -> Duration {
        Duration::from_nanos((self.step_ms(shape, self.gemm_ms(shape.tokens)) * 1e6) as u64)
    }

    /// Matrix products and weight streaming for a step of so many tokens, in ms.
    pub fn gemm_ms(&self, tokens: u32) -> f64 {
        let compute_ms = self.gemm_us_per_token * 1e-3 * f64::from(tokens);
        (self.weights_ms.powf(self.p) + compute_ms.powf(self.p)).powf(1.0 / self.p)
    }

    /// The whole step in ms, given [`StepLaw::gemm_ms`], which callers may remember between steps of equal size.
    pub(crate) fn step_ms(&self, shape: &StepShape, gemm_ms: f64) -> f64 {
        gemm_ms
            + self.base_ms
            + self.per_seq_us * 1e-3 * f64::from(shape.decodes)
            + self.per_context_token_us * 1e-3 * shape.context_tokens as f64
            + self.attention_ps * 1e-9 * shape.prefill_pairs
            + self.lm_head_ms
            + self.host_ms
    }
}
