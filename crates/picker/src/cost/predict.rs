//! Time to first token and per output token of a request on one endpoint.

use roadstead_core::Request;

use super::average::Average;
use super::law::decode_step_s;
use super::speed::Speed;
use crate::limits::SEQUENCES_MAX;
use crate::pool::{AdapterPlace, EndpointState};

/// Output tokens expected of a request before any answer was seen.
const PRIOR_OUTPUT_TOKENS: f64 = 200.0;
/// Prompt tokens taken for a request of others before any prompt was seen.
const PRIOR_PROMPT_TOKENS: f64 = 500.0;
/// Seconds to bring an adapter of rank 8 onto the accelerator, on the generic engine.
const ADAPTER_LOAD_S: f64 = 0.015;

/// What a pool's answers taught, apart from single endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Learned {
    /// Speed of all endpoints together.
    pub speed: Speed,
    /// Output tokens of a sequence.
    pub output_tokens: Average,
    /// Prompt tokens of a request.
    pub prompt_tokens: Average,
}

impl Default for Learned {
    fn default() -> Learned {
        Learned {
            speed: Speed::default(),
            output_tokens: Average::new(PRIOR_OUTPUT_TOKENS),
            prompt_tokens: Average::new(PRIOR_PROMPT_TOKENS),
        }
    }
}

/// What a request asks of whichever endpoint gets it.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Prompt tokens.
    pub prompt_tokens: f64,
    /// Output tokens expected of each sequence.
    pub output_tokens: f64,
    /// Sequences.
    pub sequences: f64,
}

impl Demand {
    /// What `request` is expected to ask for.
    pub fn of(request: &Request, learned: &Learned) -> Demand {
        let usual = learned.output_tokens.value();
        Demand {
            prompt_tokens: f64::from(request.work.prompt_tokens),
            output_tokens: request.work.output_tokens_max.map_or(usual, |most| usual.min(f64::from(most))),
            sequences: f64::from(request.work.sequences.clamp(1, SEQUENCES_MAX)),
        }
    }
}

/// What a request would meet on one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Seconds to the first token.
    pub ttft_s: f64,
    /// Of those, seconds until a place in the batch and memory are free, beyond the prompts ahead.
    pub queued_s: f64,
    /// Seconds for each further token.
    pub tpot_s: f64,
    /// Seconds until the whole answer is there.
    pub total_s: f64,
    /// Prompt tokens expected in its prefix cache.
    pub hit_tokens: u32,
}

/// Predicts `demand` on `state`, where `hit_tokens` of the prompt are expected in the cache.
pub fn predict(
    learned: &Learned,
    state: &EndpointState,
    demand: &Demand,
    hit_tokens: u32,
    adapter: Option<AdapterPlace>,
) -> Prediction {
    let foreign = state.foreign.load();
    let scale = state.speed.step_scale();
    let mean_prompt = learned.prompt_tokens.value();
    let decoding = f64::from(state.account.decoding) + f64::from(foreign.running);
    let context =
        state.account.context_tokens as f64 + f64::from(foreign.running + foreign.waiting) * mean_prompt;

    let step_s = scale * decode_step_s(decoding, context);
    let joined_context = context + demand.prompt_tokens + demand.sequences * demand.output_tokens / 2.0;
    let tpot_s = scale * decode_step_s(decoding + demand.sequences, joined_context);
    let run_s = demand.output_tokens * tpot_s;

    let uncached = demand.prompt_tokens - f64::from(hit_tokens);
    let ahead = state.account.prefill_tokens as f64 + f64::from(foreign.waiting) * mean_prompt;
    let beta = state.speed.prefill_s_per_token();

    let ahead_s = ahead * beta;
    let wait_s =
        ahead_s.max(slot_wait_s(state, demand, run_s)).max(kv_wait_s(state, uncached, context, run_s));
    let adapter_s = match adapter {
        None | Some(AdapterPlace::Resident) => 0.0,
        Some(AdapterPlace::FreeSlot) => scale * ADAPTER_LOAD_S,
        Some(AdapterPlace::Loadable) => scale * ADAPTER_LOAD_S + run_s / 2.0,
    };
    let ttft_s = step_s / 2.0 + wait_s + uncached * beta + adapter_s;
    Prediction { ttft_s, queued_s: wait_s - ahead_s, tpot_s, total_s: ttft_s + run_s, hit_tokens }
}

/// Seconds until enough of those ahead have finished for the batch to take this request.
fn slot_wait_s(state: &EndpointState, demand: &Demand, run_s: f64) -> f64 {
    let Some(slots) = state.slots.known().map(f64::from) else { return 0.0 };
    let foreign = state.foreign.load();
    let present = f64::from(state.account.sequences) + f64::from(foreign.running + foreign.waiting);
    let over = present + demand.sequences - slots;
    if over <= 0.0 { 0.0 } else { over * run_s / slots }
}

/// Seconds until enough KV cache is free for the prompt.
fn kv_wait_s(state: &EndpointState, uncached: f64, context: f64, run_s: f64) -> f64 {
    let Some(free) = state.kv_free_tokens() else { return 0.0 };
    let short = uncached - free as f64;
    // Running sequences give their context back over their remaining time, half a run on average.
    if short <= 0.0 { 0.0 } else { short / context.max(uncached) * run_s / 2.0 }
}
