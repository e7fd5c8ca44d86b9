//! What an engine is built from: a preset and what may be overridden on it.

use core::time::Duration;

use crate::noise::Noise;
use crate::preset::Preset;
use crate::step::StepLaw;

/// Which waiting job goes first and which running one is preempted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// First come, first served; the tail of the running list is preempted.
    #[default]
    Fcfs,
    /// By (priority, arrival), lower first; the worst is preempted.
    Priority,
}

/// How often a job's tokens are reported. The first token and the end always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenOutputs {
    /// After every step: what a streaming server needs.
    #[default]
    EveryStep,
    /// About every 16 tokens, when a job takes its next block: what a fleet in virtual time needs. Costs nothing per token.
    EveryBlock,
}

/// Configuration of one engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The step law; the preset's unless overridden.
    pub step: StepLaw,
    /// KV blocks, the null block included (vLLM's `num_gpu_blocks`).
    pub kv_blocks: u32,
    /// Sequences that may run at once.
    pub max_num_seqs: u32,
    /// Token budget of one step.
    pub max_batched_tokens: u32,
    /// Longest prompt and answer together in tokens; never more than the KV blocks hold.
    pub max_model_len: u32,
    /// Whether full blocks are kept and found again by their hash.
    pub prefix_caching: bool,
    /// Largest share of one step for one prompt, in tokens.
    pub long_prefill_token_threshold: Option<u32>,
    /// Waiting jobs beyond which more are refused.
    pub max_queued_requests: Option<u32>,
    /// Order of waiting and of preemption.
    pub policy: Policy,
    /// Adapters that may run at once; 0 turns adapters off.
    pub max_loras: u32,
    /// Adapters kept in host memory; at least `max_loras`.
    pub max_cpu_loras: u32,
    /// Largest rank that is taken.
    pub max_lora_rank: u32,
    /// Adapters known from the start: name and rank.
    pub loras: Vec<(String, u32)>,
    /// What an adapter weighs per unit of rank, in bytes.
    pub lora_bytes_per_rank: u64,
    /// Time from a request's arrival until the scheduler sees it (tokenising, dispatch). 5 to 15 ms on real servers.
    pub api_overhead: Duration,
    /// How often tokens are reported.
    pub token_outputs: TokenOutputs,
    /// Seed of the noise.
    pub seed: u64,
    /// Noise on step times; off by default.
    pub noise: Noise,
}

impl EngineConfig {
    /// A preset with vLLM's defaults.
    pub fn new(preset: &Preset) -> EngineConfig {
        EngineConfig {
            step: preset.step,
            kv_blocks: preset.kv_blocks,
            max_num_seqs: preset.max_num_seqs,
            max_batched_tokens: preset.max_batched_tokens,
            max_model_len: preset.max_model_len,
            prefix_caching: true,
            long_prefill_token_threshold: None,
            max_queued_requests: None,
            policy: Policy::Fcfs,
            max_loras: 0,
            max_cpu_loras: 0,
            max_lora_rank: 64,
            loras: Vec::new(),
            lora_bytes_per_rank: preset.lora_bytes_per_rank,
            api_overhead: Duration::ZERO,
            token_outputs: TokenOutputs::EveryStep,
            seed: 0,
            noise: Noise::default(),
        }
    }
}
