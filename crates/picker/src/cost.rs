//! What placing a request on an endpoint costs: predicted time to first token and per output token, from
//! magnitudes (tokens ahead, sequences to join, memory) and from speeds learned online.
//!
//! Pure arithmetic; no plugin, no request text. Source of the formulae: the step-time law
//! `t = σ·(t0 + c·B + d·S)` for decode steps of B sequences with S tokens of context, and β seconds for each
//! prompt token that must be computed.

mod average;
mod law;
mod predict;
mod speed;

pub use average::{Average, RatioAverage};
pub use law::{PRIOR_PREFILL_S_PER_TOKEN, decode_step_s};
pub use predict::{Demand, Learned, Prediction, Standing, adapter_s, larger, predict, smaller};
pub use speed::{FirstTokenSample, Speed};
