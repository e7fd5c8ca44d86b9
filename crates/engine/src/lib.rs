//! A vLLM V1 model server as a pure state machine: jobs and the time go in, tokens and the time of the next step come out.
//!
//! It stands behind the simulated servers (`sim` drives it with timers) and behind fleets in virtual time. A *step* is what
//! vLLM does in one turn: schedule (token budget, blocks, adapters), forward (its duration comes from a step law fitted per
//! model and accelerator), update (tokens out, finished jobs release their blocks).
//!
//! It always holds that the same configuration and the same calls give the same outputs: no clock, no IO, no threads, and
//! the only randomness is the seeded noise. It knows nothing of HTTP, of text beyond "four bytes are one token", or of the
//! factor by which a driver stretches time.

mod blocks;
mod config;
mod engine;
mod invariants;
mod job;
mod lora;
mod noise;
mod preset;
mod prompt;
mod running;
mod scheduler;
mod stats;
mod step;

pub use blocks::BlockPool;
pub use config::{EngineConfig, Policy, TokenOutputs};
pub use engine::Engine;
pub use job::{FinishReason, Job, JobId, Output, Refused, Timings};
pub use lora::{AdapterId, LoraError, LoraState};
pub use noise::Noise;
pub use preset::{Device, Preset, Source};
pub use prompt::{BLOCK_TOKENS, Prompt, TOKEN_BYTES, output_token, salt};
pub use stats::{Counters, IterationTokens, Stats};
pub use step::{StepLaw, StepShape};
