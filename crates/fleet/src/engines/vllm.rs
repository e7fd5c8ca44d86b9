//! vLLM, from the days of the Gateway API Inference Extension's first release until now.

use super::{CacheInfo, Engine, LoraInfo};

/// Source: vLLM `vllm/v1/metrics/loggers.py`; `gpu_cache_usage_perc` is the older name.
pub const VLLM: Engine = Engine {
    name: "vllm",
    waiting: "vllm:num_requests_waiting",
    running: "vllm:num_requests_running",
    kv_usage: &["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
    cache_info: Some(CacheInfo {
        series: "vllm:cache_config_info",
        block_tokens: "block_size",
        blocks: "num_gpu_blocks",
    }),
    lora_info: Some(LoraInfo {
        series: "vllm:lora_requests_info",
        slots: "max_lora",
        running: "running_lora_adapters",
        waiting: "waiting_lora_adapters",
    }),
};
