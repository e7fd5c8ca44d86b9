//! The generic engine that speeds start from: an 8B model on an 80 GB accelerator. Only the proportions matter
//! after the first answers; the scale is learned.

/// Seconds of a decode step with nothing in it: weights, launches, LM head and host.
const STEP_S: f64 = 8.0e-3;
/// More for each sequence.
pub const DECODE_PER_SEQUENCE_S: f64 = 3.0e-6;
/// More for each token of context.
pub const DECODE_PER_CONTEXT_TOKEN_S: f64 = 4.39e-8;

/// Seconds for each prompt token that must be computed, before anything is learned.
pub const PRIOR_PREFILL_S_PER_TOKEN: f64 = 2.2e-5;

/// Seconds of one decode step of the generic engine.
pub fn decode_step_s(sequences: f64, context_tokens: f64) -> f64 {
    STEP_S + DECODE_PER_SEQUENCE_S * sequences + DECODE_PER_CONTEXT_TOKEN_S * context_tokens
}
