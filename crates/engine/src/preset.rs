//! Engine presets: one row per model and accelerator, as data.
//!
//! Fitted rows come from kernel-time tables of vLLM (aiconfigurator-core 0.12.0); roofline rows are derived from a device's
//! bandwidth and peak and are only as good as that. Sizes follow vLLM's defaults for the device's memory.

use crate::prompt::BLOCK_TOKENS;
use crate::step::StepLaw;

mod table;

/// How a row's step law was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Fitted to measured kernel times.
    Fitted,
    /// Derived from bandwidth and peak compute.
    Roofline,
}

/// A model on an accelerator: how fast it steps and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    /// `model@accelerator`, lower case, `-tpN` where more than one device serves it.
    pub name: &'static str,
    /// The model's part of the name.
    pub model: &'static str,
    /// The accelerator's part of the name.
    pub accelerator: &'static str,
    /// The step law.
    pub step: StepLaw,
    /// KV blocks, the null block included.
    pub kv_blocks: u32,
    /// Tokens of one block.
    pub block_tokens: u32,
    /// Token budget of one step.
    pub max_batched_tokens: u32,
    /// Sequences that may run at once.
    pub max_num_seqs: u32,
    /// Longest prompt and answer together that the model takes, in tokens.
    pub max_model_len: u32,
    /// What an adapter weighs per unit of rank, in bytes.
    pub lora_bytes_per_rank: u64,
    /// Where the step law comes from.
    pub source: Source,
}

/// An accelerator as the roofline rows see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device {
    /// Lower-case name.
    pub name: &'static str,
    /// Memory in GB (10^9 bytes).
    pub memory_gb: f64,
    /// Memory bandwidth in TB/s.
    pub bandwidth_tb_s: f64,
    /// Dense bf16 peak in TFLOP/s.
    pub bf16_tflops: f64,
    /// Weight-streaming floor of an 8B model, in ms (TPU v5e: on two chips).
    pub weights_8b_ms: f64,
    /// Matrix-product time per token of an 8B model, in microseconds (TPU v5e: on two chips).
    pub gemm_8b_us: f64,
}

impl Preset {
    /// The preset of this name, upper or lower case.
    pub fn by_name(name: &str) -> Option<&'static Preset> {
        Preset::all().iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// Every preset.
    pub fn all() -> &'static [Preset] {
        &table::PRESETS
    }

    /// The known name that looks most like this one, for error messages.
    pub fn nearest(name: &str) -> &'static str {
        let name = name.to_ascii_lowercase();
        let nearest = Preset::all().iter().min_by_key(|p| edit_distance(&name, p.name));
        nearest.expect("the table is not empty").name
    }
}

impl Device {
    /// Every device of the roofline table.
    pub fn all() -> &'static [Device] {
        &table::DEVICES
    }
}

/// Levenshtein distance over bytes; anything after the first 64 bytes of `a` is ignored.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
