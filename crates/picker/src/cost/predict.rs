//! Time to first token and per output token of a request on one endpoint.

use roadstead_core::Request;

use super::average::Average;
use super::law::{DECODE_PER_CONTEXT_TOKEN_S, DECODE_PER_SEQUENCE_S, decode_step_s};
use super::speed::Speed;
use crate::limits::SEQUENCES_MAX;
use crate::pool::{AdapterPlace, EndpointState};

/// Output tokens expected of a request before any answer was seen.
const PRIOR_OUTPUT_TOKENS: f64 = 200.0;
/// Prompt tokens taken for a request of others before any prompt was seen.
const PRIOR_PROMPT_TOKENS: f64 = 500.0;
/// Seconds to bring an adapter of rank 8 onto the accelerator, on the generic engine.
const ADAPTER_LOAD_S: f32 = 0.015;

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
    pub prompt_tokens: f32,
    /// Output tokens expected of each sequence.
    pub output_tokens: f32,
    /// Sequences.
    pub sequences: f32,
    /// Seconds that it adds to a decode step of the generic engine.
    pub step_s: f32,
    /// One over the prompt tokens.
    pub per_prompt_token: f32,
}

impl Demand {
    /// What `request` is expected to ask for.
    pub fn of(request: &Request, learned: &Learned) -> Demand {
        let usual = learned.output_tokens.value() as f32;
        let prompt_tokens = request.work.prompt_tokens as f32;
        let output_tokens = request.work.output_tokens_max.map_or(usual, |most| usual.min(most as f32));
        let sequences = request.work.sequences.clamp(1, SEQUENCES_MAX) as f32;
        let context_tokens = prompt_tokens + sequences * output_tokens / 2.0;
        Demand {
            prompt_tokens,
            output_tokens,
            sequences,
            step_s: DECODE_PER_SEQUENCE_S as f32 * sequences
                + DECODE_PER_CONTEXT_TOKEN_S as f32 * context_tokens,
            per_prompt_token: 1.0 / prompt_tokens.max(1.0),
        }
    }
}

/// How one endpoint stands: all that predictions need of it, in the form that they need.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Seconds of its next decode step as it is.
    pub step_s: f32,
    /// Its decode steps against the generic engine's.
    pub step_scale: f32,
    /// Seconds of prompts to compute that are there already.
    pub ahead_s: f32,
    /// Seconds for each prompt token that must be computed.
    pub prefill_s_per_token: f32,
    /// Free places in its batch, negative when some wait for one; infinite while their number is unknown.
    pub slots_free: f32,
    /// Share of a run after which one place of the full batch falls free.
    pub turn_share: f32,
    /// Tokens of KV cache that are free; infinite while its size is unknown.
    pub kv_free_tokens: f32,
    /// Share of a run after which one token of its context falls free.
    pub release_share: f32,
    /// Prompt blocks that its history has room for.
    pub history_free_blocks: f32,
    /// When the block that its cache would evict next was last used, in seconds of the driving clock.
    pub oldest_s: f32,
}

impl Standing {
    /// What stands in the columns where no endpoint is: nothing that could hold a request up.
    pub const NOBODY: Standing = Standing {
        step_s: 0.0,
        step_scale: 0.0,
        ahead_s: 0.0,
        prefill_s_per_token: 0.0,
        slots_free: f32::INFINITY,
        turn_share: 0.0,
        kv_free_tokens: f32::INFINITY,
        release_share: 0.0,
        history_free_blocks: f32::INFINITY,
        oldest_s: 0.0,
    };

    /// How `state` stands, in a pool where prompts have `prompt_tokens_mean` tokens.
    pub fn of(state: &EndpointState, prompt_tokens_mean: f64) -> Standing {
        let foreign = state.foreign.load();
        let scale = state.speed.step_scale();
        let prefill_s_per_token = state.speed.prefill_s_per_token();
        let foreign_requests = f64::from(foreign.running) + f64::from(foreign.waiting);
        let decoding = f64::from(state.account.decoding) + f64::from(foreign.running);
        let context = state.account.context_tokens as f64 + foreign_requests * prompt_tokens_mean;
        let ahead = state.account.prefill_tokens as f64 + f64::from(foreign.waiting) * prompt_tokens_mean;
        let present = f64::from(state.account.sequences) + foreign_requests;
        let slots = state.slots.known().map(f64::from);
        let free_blocks = state.history.capacity.saturating_sub(state.history.blocks);
        Standing {
            step_s: (scale * decode_step_s(decoding, context)) as f32,
            step_scale: scale as f32,
            ahead_s: (ahead * prefill_s_per_token) as f32,
            prefill_s_per_token: prefill_s_per_token as f32,
            slots_free: slots.map_or(f32::INFINITY, |slots| (slots - present) as f32),
            turn_share: slots.map_or(0.0, |slots| (1.0 / slots) as f32),
            kv_free_tokens: state.kv_free_tokens().map_or(f32::INFINITY, |free| free as f32),
            // Running sequences give their context back over their remaining time, half a run on average.
            release_share: (0.5 / context.max(1.0)) as f32,
            history_free_blocks: free_blocks as f32,
            oldest_s: state.history.oldest.map_or(f32::INFINITY, |oldest| oldest.as_secs_f64() as f32),
        }
    }
}

/// What a request would meet on one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Seconds to the first token.
    pub ttft_s: f32,
    /// Of those, seconds until a place in the batch and memory are free, beyond the prompts ahead.
    pub queued_s: f32,
    /// Seconds for each further token.
    pub tpot_s: f32,
    /// Seconds until the whole answer is there.
    pub total_s: f32,
}

/// Predicts `demand` where `hit_tokens` of the prompt are expected in the cache. No branches: it runs over columns.
/// `QUEUES` says whether it may have to wait for a place or for memory.
#[inline(always)]
pub fn predict<const QUEUES: bool>(standing: &Standing, demand: &Demand, hit_tokens: f32) -> Prediction {
    let tpot_s = standing.step_s + standing.step_scale * demand.step_s;
    let run_s = demand.output_tokens * tpot_s;

    let uncached = larger(demand.prompt_tokens - hit_tokens, 0.0);
    let mut wait_s = standing.ahead_s;
    if QUEUES {
        let slots_short = larger(demand.sequences - standing.slots_free, 0.0);
        let slot_wait_s = slots_short * standing.turn_share * run_s;
        let tokens_short = larger(uncached - standing.kv_free_tokens, 0.0);
        let kv_wait_s = tokens_short * smaller(standing.release_share, demand.per_prompt_token / 2.0) * run_s;
        wait_s = larger(wait_s, larger(slot_wait_s, kv_wait_s));
    }

    let ttft_s = standing.step_s / 2.0 + wait_s + uncached * standing.prefill_s_per_token;
    Prediction { ttft_s, queued_s: wait_s - standing.ahead_s, tpot_s, total_s: ttft_s + run_s }
}

/// The larger of two numbers that are not NaN: one instruction, where `f32::max` takes five.
#[inline(always)]
pub fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller of two numbers that are not NaN.
#[inline(always)]
pub fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// Seconds until a wanted adapter is on the accelerator, on an endpoint where `prediction` holds without it.
pub fn adapter_s(place: AdapterPlace, standing: &Standing, prediction: &Prediction) -> f32 {
    let load_s = standing.step_scale * ADAPTER_LOAD_S;
    match place {
        AdapterPlace::Resident => 0.0,
        AdapterPlace::FreeSlot => load_s,
        // One of the running adapters must drain first.
        AdapterPlace::Loadable => load_s + (prediction.total_s - prediction.ttft_s) / 2.0,
    }
}
