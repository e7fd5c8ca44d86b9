//! The numbers behind the presets. Columns are in the order of the step law: W ms, beta us, p, A0 ms, c us, d us, kappa ps.

use super::{BLOCK_TOKENS, Device, Preset, Source, StepLaw};

const LM_HEAD_MS: f64 = 0.3;
const HOST_MS: f64 = 1.5;

/// A model's share of a row.
struct Model {
    name: &'static str,
    max_model_len: u32,
    lora_bytes_per_rank: u64,
}

/// An accelerator's share of a row: vLLM's server defaults for its memory.
struct Accelerator {
    max_batched_tokens: u32,
    max_num_seqs: u32,
}

// An adapter of a 7–8B model weighs about 2 MB per unit of rank; larger ones scale with layers × hidden size.
const LLAMA2_7B: Model = Model { name: "llama-2-7b", max_model_len: 4_096, lora_bytes_per_rank: 2_000_000 };
const LLAMA3_8B: Model =
    Model { name: "llama-3.1-8b", max_model_len: 131_072, lora_bytes_per_rank: 2_000_000 };
const QWEN3_8B: Model = Model { name: "qwen3-8b", max_model_len: 40_960, lora_bytes_per_rank: 2_300_000 };
const QWEN3_32B: Model = Model { name: "qwen3-32b", max_model_len: 40_960, lora_bytes_per_rank: 5_000_000 };
const LLAMA3_70B: Model =
    Model { name: "llama-3.1-70b", max_model_len: 131_072, lora_bytes_per_rank: 10_000_000 };
const LLAMA3_70B_FP8: Model =
    Model { name: "llama-3.1-70b-fp8", max_model_len: 131_072, lora_bytes_per_rank: 10_000_000 };

/// At least 160 GiB.
const LARGE: Accelerator = Accelerator { max_batched_tokens: 16_384, max_num_seqs: 1_024 };
/// At least 70 GiB, Hopper or newer.
const HOPPER: Accelerator = Accelerator { max_batched_tokens: 8_192, max_num_seqs: 1_024 };
/// Everything else, A100 included.
const SMALL: Accelerator = Accelerator { max_batched_tokens: 2_048, max_num_seqs: 256 };
const TPU_V5E: Accelerator = Accelerator { max_batched_tokens: 512, max_num_seqs: 256 };

#[rustfmt::skip]
pub(super) static PRESETS: [Preset; 28] = [
    fitted("llama-2-7b@a100", "a100", &LLAMA2_7B, &SMALL, 7_244, [9.29, 53.8, 1.5, 0.37, 0.0, 0.337, 3644.0]),
    fitted("llama-2-7b@h100", "h100", &LLAMA2_7B, &HOPPER, 7_233, [5.39, 18.8, 2.2, 0.32, 9.9, 0.178, 1166.0]),
    fitted("llama-2-7b@h200", "h200", &LLAMA2_7B, &HOPPER, 14_188, [4.10, 18.3, 2.1, 0.35, 13.2, 0.123, 1145.0]),
    fitted("llama-2-7b@b200", "b200", &LLAMA2_7B, &LARGE, 18_688, [2.84, 9.4, 1.8, 0.25, 1.8, 0.075, 688.0]),
    fitted("llama-2-7b@l40s", "l40s", &LLAMA2_7B, &SMALL, 3_225, [20.3, 65.3, 1.9, 0.0, 0.0, 0.493, 3382.0]),
    fitted("llama-3.1-8b@a100", "a100", &LLAMA3_8B, &SMALL, 27_750, [9.89, 56.9, 1.6, 0.56, 1.8, 0.084, 3207.0]),
    fitted("llama-3.1-8b@h100", "h100", &LLAMA3_8B, &HOPPER, 27_701, [5.84, 20.0, 2.3, 0.34, 3.0, 0.0439, 939.0]),
    fitted("llama-3.1-8b@h200", "h200", &LLAMA3_8B, &HOPPER, 55_625, [4.38, 19.8, 2.3, 0.36, 3.7, 0.0314, 958.0]),
    fitted("llama-3.1-8b@b200", "b200", &LLAMA3_8B, &LARGE, 73_438, [3.00, 9.9, 1.9, 0.26, 0.5, 0.0184, 561.0]),
    fitted("llama-3.1-8b@l40s", "l40s", &LLAMA3_8B, &SMALL, 11_688, [22.0, 70.0, 2.2, 0.23, 0.0, 0.112, 2906.0]),
    fitted("qwen3-8b@h100", "h100", &QWEN3_8B, &HOPPER, 24_500, [5.92, 20.1, 2.3, 0.38, 3.3, 0.049, 1057.0]),
    fitted("qwen3-32b@h200", "h200", &QWEN3_32B, &HOPPER, 16_000, [18.2, 85.4, 2.6, 0.72, 7.8, 0.063, 3883.0]),
    fitted("qwen3-32b@b200", "b200", &QWEN3_32B, &LARGE, 24_938, [11.9, 42.2, 2.6, 0.52, 1.0, 0.038, 1921.0]),
    fitted("qwen3-32b@a100-tp2", "a100-tp2", &QWEN3_32B, &SMALL, 19_750, [22.5, 138.0, 1.3, 1.19, 3.1, 0.085, 6567.0]),
    fitted("qwen3-32b@h100-tp2", "h100-tp2", &QWEN3_32B, &HOPPER, 19_738, [13.35, 55.1, 1.8, 0.70, 3.3, 0.043, 1862.0]),
    fitted("qwen3-32b@h200-tp2", "h200-tp2", &QWEN3_32B, &HOPPER, 47_688, [10.1, 53.4, 1.8, 0.74, 4.2, 0.031, 1985.0]),
    fitted("llama-3.1-70b@a100-tp4", "a100-tp4", &LLAMA3_70B, &SMALL, 29_688, [25.9, 177.0, 1.2, 1.5, 1.5, 0.0555, 4280.0]),
    fitted("llama-3.1-70b@h100-tp4", "h100-tp4", &LLAMA3_70B, &HOPPER, 29_688, [14.7, 73.4, 1.5, 0.9, 2.1, 0.0265, 1164.0]),
    fitted("llama-3.1-70b@h200-tp4", "h200-tp4", &LLAMA3_70B, &HOPPER, 74_375, [11.5, 72.2, 1.6, 0.94, 2.9, 0.0194, 1181.0]),
    fitted("llama-3.1-70b@a100-tp8", "a100-tp8", &LLAMA3_70B, &SMALL, 86_250, [15.2, 123.0, 1.1, 1.24, 0.0, 0.0277, 2388.0]),
    fitted("llama-3.1-70b@h100-tp8", "h100-tp8", &LLAMA3_70B, &HOPPER, 86_250, [9.2, 50.5, 1.2, 0.93, 1.3, 0.0131, 595.0]),
    fitted("llama-3.1-70b@h200-tp2", "h200-tp2", &LLAMA3_70B, &HOPPER, 23_750, [20.2, 114.0, 2.3, 0.92, 5.2, 0.0386, 2481.0]),
    fitted("llama-3.1-70b@b200-tp2", "b200-tp2", &LLAMA3_70B, &LARGE, 37_938, [14.0, 55.0, 1.3, 0.70, 0.5, 0.0228, 1402.0]),
    fitted("llama-3.1-70b-fp8@h100-tp2", "h100-tp2", &LLAMA3_70B_FP8, &HOPPER, 14_438, [15.7, 83.5, 1.5, 0.88, 4.1, 0.054, 2327.0]),
    fitted("llama-3.1-70b-fp8@h200", "h200", &LLAMA3_70B_FP8, &HOPPER, 11_438, [21.2, 104.0, 2.0, 0.90, 9.7, 0.079, 4853.0]),
    // d = KV bytes per token / (0.8 bandwidth), kappa = 4 layers heads head_dim / (0.45–0.5 peak), both per device;
    // KV = 0.9 memory − weights − 3 to 4 GB. p, A0 and c are those of the nearest fitted row: L40S, H100, and TP2 rows.
    roofline("llama-3.1-8b@l4", "l4", &LLAMA3_8B, &SMALL, 1_900, [68.0, 210.0, 2.2, 0.23, 0.0, 0.55, 8666.0]),
    roofline("llama-3.1-8b@mi300x", "mi300x", &LLAMA3_8B, &LARGE, 72_800, [3.9, 26.0, 2.3, 0.34, 3.0, 0.0309, 891.0]),
    roofline("llama-3.1-8b@tpu-v5e-tp2", "tpu-v5e-tp2", &LLAMA3_8B, &TPU_V5E, 3_214, [13.0, 90.0, 1.8, 0.70, 3.3, 0.1, 2661.0]),
];

#[rustfmt::skip]
pub(super) static DEVICES: [Device; 8] = [
    device("l4", 24.0, 0.30, 121.0, 68.0, 210.0),
    device("l40s", 48.0, 0.864, 362.0, 22.0, 70.0),
    device("a100", 80.0, 2.04, 312.0, 9.9, 57.0),
    device("h100", 80.0, 3.35, 989.0, 5.8, 20.0),
    device("h200", 141.0, 4.8, 989.0, 4.4, 20.0),
    device("b200", 180.0, 7.7, 2250.0, 3.0, 9.9),
    device("mi300x", 192.0, 5.3, 1307.0, 3.9, 26.0),
    device("tpu-v5e", 16.0, 0.819, 197.0, 13.0, 90.0),
];

const fn fitted(
    name: &'static str,
    accelerator: &'static str,
    model: &Model,
    sizes: &Accelerator,
    kv_blocks: u32,
    law: [f64; 7],
) -> Preset {
    Preset {
        name,
        model: model.name,
        accelerator,
        step: StepLaw {
            weights_ms: law[0],
            gemm_us_per_token: law[1],
            p: law[2],
            base_ms: law[3],
            per_seq_us: law[4],
            per_context_token_us: law[5],
            attention_ps: law[6],
            lm_head_ms: LM_HEAD_MS,
            host_ms: HOST_MS,
        },
        kv_blocks,
        block_tokens: BLOCK_TOKENS,
        max_batched_tokens: sizes.max_batched_tokens,
        max_num_seqs: sizes.max_num_seqs,
        max_model_len: model.max_model_len,
        lora_bytes_per_rank: model.lora_bytes_per_rank,
        source: Source::Fitted,
    }
}

const fn roofline(
    name: &'static str,
    accelerator: &'static str,
    model: &Model,
    sizes: &Accelerator,
    kv_blocks: u32,
    law: [f64; 7],
) -> Preset {
    Preset { source: Source::Roofline, ..fitted(name, accelerator, model, sizes, kv_blocks, law) }
}

const fn device(
    name: &'static str,
    memory_gb: f64,
    bandwidth_tb_s: f64,
    bf16_tflops: f64,
    weights_8b_ms: f64,
    gemm_8b_us: f64,
) -> Device {
    Device { name, memory_gb, bandwidth_tb_s, bf16_tflops, weights_8b_ms, gemm_8b_us }
}
