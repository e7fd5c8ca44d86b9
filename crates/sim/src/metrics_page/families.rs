//! The families of the page in the order of the captured one, with vLLM's help texts.
//!
//! One function tells layout and values apart by its sink, so that the two cannot disagree.

use roadstead_engine::Stats;

use super::{Label, Sink};
use crate::metrics::{Histogram, Metrics};

/// The one family without a model label.
pub(super) const CACHE_CONFIG: &str = "vllm:cache_config_info";

/// Everything that a page tells.
pub(crate) struct Reading<'a> {
    /// The engine now.
    pub(crate) stats: &'a Stats,
    /// What the driver has recorded.
    pub(crate) metrics: &'a Metrics,
    /// When the server started, in seconds since the Unix epoch.
    pub(crate) created_unix_s: f64,
    /// Whether the engine takes adapters at all.
    pub(crate) adapters: bool,
    /// Tokens of one KV block.
    pub(crate) block_tokens: u32,
    /// Longest prompt and answer together.
    pub(crate) max_model_len: u32,
    /// Whether prompts are found again in the cache.
    pub(crate) prefix_caching: bool,
}

/// Names every family and line of the page, in order.
pub(crate) fn describe(sink: &mut impl Sink, reading: &Reading<'_>) {
    let mut page = Families { sink, created: reading.created_unix_s };
    page.load(reading);
    page.caches(reading);
    page.tokens(reading);
    page.requests(reading);
    page.latencies(reading.metrics);
    page.configuration(reading);
}

struct Families<'s, S> {
    sink: &'s mut S,
    created: f64,
}

impl<S: Sink> Families<'_, S> {
    fn load(&mut self, reading: &Reading<'_>) {
        let stats = reading.stats;
        self.counter(
            "vllm:estimated_flops_per_gpu",
            "Estimated number of floating point operations per GPU (for Model Flops Utilization calculations).",
            &[(&[], 0.0)],
        );
        self.counter(
            "vllm:estimated_read_bytes_per_gpu",
            "Estimated number of bytes read from memory per GPU (for Model Flops Utilization calculations).",
            &[(&[], 0.0)],
        );
        self.counter(
            "vllm:estimated_write_bytes_per_gpu",
            "Estimated number of bytes written to memory per GPU (for Model Flops Utilization calculations).",
            &[(&[], 0.0)],
        );
        self.gauge(
            "vllm:num_requests_running",
            "Number of requests in model execution batches.",
            &[(&[], f64::from(stats.running))],
        );
        self.gauge(
            "vllm:num_requests_waiting",
            "Number of requests waiting to be processed.",
            &[(&[], f64::from(stats.waiting()))],
        );
        self.gauge(
            "vllm:num_requests_waiting_by_reason",
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; 'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all reasons equals vllm:num_requests_waiting.",
            &[
                (&[("reason", Label::Text("capacity"))], f64::from(stats.waiting_capacity)),
                (&[("reason", Label::Text("deferred"))], f64::from(stats.waiting_deferred)),
            ],
        );
        self.gauge(
            "vllm:engine_sleep_state",
            "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
            &[
                (&[("sleep_state", Label::Text("awake"))], 1.0),
                (&[("sleep_state", Label::Text("weights_offloaded"))], 0.0),
                (&[("sleep_state", Label::Text("discard_all"))], 0.0),
            ],
        );
        self.gauge(
            "vllm:kv_cache_usage_perc",
            "KV-cache usage. 1 means 100 percent usage.",
            &[(&[], stats.kv_usage)],
        );
    }

    fn caches(&mut self, reading: &Reading<'_>) {
        let counters = &reading.stats.counters;
        let hits = counters.prefix_cache_hits as f64;
        self.counter(
            "vllm:prefix_cache_queries",
            "Prefix cache queries, in terms of number of queried tokens.",
            &[(&[], counters.prefix_cache_queries as f64)],
        );
        self.counter(
            "vllm:prefix_cache_hits",
            "Prefix cache hits, in terms of number of cached tokens.",
            &[(&[], hits)],
        );
        self.counter(
            "vllm:external_prefix_cache_queries",
            "External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.",
            &[(&[], 0.0)],
        );
        self.counter(
            "vllm:external_prefix_cache_hits",
            "External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.",
            &[(&[], 0.0)],
        );
        self.counter(
            "vllm:mm_cache_queries",
            "Multi-modal cache queries, in terms of number of queried items.",
            &[(&[], 0.0)],
        );
        self.counter(
            "vllm:mm_cache_hits",
            "Multi-modal cache hits, in terms of number of cached items.",
            &[(&[], 0.0)],
        );
    }

    fn tokens(&mut self, reading: &Reading<'_>) {
        let counters = &reading.stats.counters;
        let hits = counters.prefix_cache_hits as f64;
        let cached = counters.prompt_tokens_cached as f64;
        self.counter(
            "vllm:num_preemptions",
            "Cumulative number of preemption from the engine.",
            &[(&[], counters.preemptions as f64)],
        );
        self.counter(
            "vllm:prompt_tokens",
            "Number of prefill tokens processed.",
            &[(&[], counters.prompt_tokens as f64)],
        );
        self.counter(
            "vllm:prompt_tokens_by_source",
            "Number of prompt tokens by source.",
            &[
                (&[("source", Label::Text("local_compute"))], counters.prompt_tokens as f64 - cached),
                (&[("source", Label::Text("local_cache_hit"))], cached),
                (&[("source", Label::Text("external_kv_transfer"))], 0.0),
            ],
        );
        self.counter(
            "vllm:prompt_tokens_cached",
            "Number of cached prompt tokens (local + external).",
            &[(&[], cached)],
        );
        self.counter(
            "vllm:prompt_tokens_cached_by_source",
            "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at admission; sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits.",
            &[
                (&[("source", Label::Text("device"))], hits),
                (&[("source", Label::Text("host"))], 0.0),
                (&[("source", Label::Text("p2p"))], 0.0),
                (&[("source", Label::Text("disk"))], 0.0),
                (&[("source", Label::Text("external_unspecified"))], 0.0),
            ],
        );
        self.counter(
            "vllm:generation_tokens",
            "Number of generation tokens processed.",
            &[(&[], counters.generation_tokens as f64)],
        );
    }

    fn requests(&mut self, reading: &Reading<'_>) {
        let (stats, metrics) = (reading.stats, reading.metrics);
        let counters = &stats.counters;
        self.counter(
            "vllm:request_success",
            "Count of successfully processed requests.",
            &[
                (&[("finished_reason", Label::Text("stop"))], counters.finished_stop as f64),
                (&[("finished_reason", Label::Text("length"))], counters.finished_length as f64),
                (&[("finished_reason", Label::Text("abort"))], counters.cancelled as f64),
                (&[("finished_reason", Label::Text("error"))], 0.0),
                (&[("finished_reason", Label::Text("repetition"))], 0.0),
            ],
        );
        self.counter(
            "vllm:admission_rejections",
            "Number of admission attempts rejected by a queue limit, by reason.",
            &[
                (&[("reason", Label::Text("max_num_queued_reqs"))], counters.refused_queue_full as f64),
                (&[("reason", Label::Text("max_num_queued_tokens"))], 0.0),
            ],
        );
        self.histogram(
            "vllm:request_prompt_tokens",
            "Number of prefill tokens processed.",
            &metrics.prompt_tokens,
        );
        self.histogram(
            "vllm:request_generation_tokens",
            "Number of generation tokens processed.",
            &metrics.generation_tokens,
        );
        self.iteration_tokens(stats);
        self.histogram(
            "vllm:request_max_num_generation_tokens",
            "Histogram of maximum number of requested generation tokens.",
            &metrics.max_generation_tokens,
        );
        self.histogram("vllm:request_params_n", "Histogram of the n request parameter.", &metrics.params_n);
        self.histogram(
            "vllm:request_params_max_tokens",
            "Histogram of the max_tokens request parameter.",
            &metrics.params_max_tokens,
        );
    }

    fn latencies(&mut self, metrics: &Metrics) {
        self.histogram(
            "vllm:time_to_first_token_seconds",
            "Histogram of time to first token in seconds.",
            &metrics.first_token_s,
        );
        self.histogram(
            "vllm:inter_token_latency_seconds",
            "Histogram of inter-token latency in seconds.",
            &metrics.inter_token_s,
        );
        self.histogram(
            "vllm:request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.",
            &metrics.per_output_token_s,
        );
        self.histogram(
            "vllm:e2e_request_latency_seconds",
            "Histogram of e2e request latency in seconds.",
            &metrics.e2e_s,
        );
        self.histogram(
            "vllm:request_queue_time_seconds",
            "Histogram of time spent in WAITING phase for request.",
            &metrics.queue_s,
        );
        self.histogram(
            "vllm:request_inference_time_seconds",
            "Histogram of time spent in RUNNING phase for request.",
            &metrics.inference_s,
        );
        self.histogram(
            "vllm:request_prefill_time_seconds",
            "Histogram of time spent in PREFILL phase for request.",
            &metrics.prefill_s,
        );
        self.histogram(
            "vllm:request_decode_time_seconds",
            "Histogram of time spent in DECODE phase for request.",
            &metrics.decode_s,
        );
        self.histogram(
            "vllm:request_num_preemptions",
            "Histogram of the number of times a request was preempted.",
            &metrics.preemptions,
        );
        self.histogram(
            "vllm:request_prefill_kv_computed_tokens",
            "Histogram of new KV tokens computed during prefill (excluding cached tokens).",
            &metrics.prefill_computed_tokens,
        );
    }

    fn configuration(&mut self, reading: &Reading<'_>) {
        if reading.adapters {
            self.sink.family("vllm:lora_requests_info", "Running stats on lora requests.", "gauge");
            self.sink.adapters();
        }
        let (block, blocks) = (reading.block_tokens.to_string(), reading.stats.kv_blocks.to_string());
        let kv_tokens = u64::from(reading.block_tokens) * u64::from(reading.stats.kv_blocks);
        let tokens = kv_tokens.to_string();
        let concurrency = format!("{:?}", kv_tokens as f64 / f64::from(reading.max_model_len.max(1)));
        let caching = if reading.prefix_caching { "True" } else { "False" };
        let labels = [
            ("_block_size_resolved", Label::Text("True")),
            ("block_size", Label::Text(&block)),
            ("cache_dtype", Label::Text("auto")),
            ("cache_hit_alignment_tokens", Label::Text("None")),
            ("effective_attention_block_size", Label::Text(&block)),
            ("enable_mamba_shared_prefix_checkpoint", Label::Text("False")),
            ("enable_prefix_caching", Label::Text(caching)),
            ("gpu_memory_utilization", Label::Text("0.9")),
            ("hash_block_size", Label::Text("None")),
            ("is_attention_free", Label::Text("False")),
            ("kv_cache_dtype_skip_layers", Label::Text("[]")),
            ("kv_cache_layout", Label::Text("None")),
            ("kv_cache_max_concurrency", Label::Text(&concurrency)),
            ("kv_cache_memory_bytes", Label::Text("None")),
            ("kv_cache_size_tokens", Label::Text(&tokens)),
            ("kv_offloading_backend", Label::Text("native")),
            ("kv_offloading_size", Label::Text("None")),
            ("kv_sharing_fast_prefill", Label::Text("False")),
            ("mamba_block_size", Label::Text("None")),
            ("mamba_cache_dtype", Label::Text("auto")),
            ("mamba_cache_mode", Label::Text("none")),
            ("mamba_page_size_padded", Label::Text("None")),
            ("mamba_ssm_cache_dtype", Label::Text("float32")),
            ("num_cpu_blocks", Label::Text("None")),
            ("num_gpu_blocks", Label::Text(&blocks)),
            ("num_gpu_blocks_override", Label::Text("None")),
            ("prefix_cache_retention_interval", Label::Text("0")),
            ("prefix_caching_hash_algo", Label::Text("sha256")),
            ("prefix_match_unit", Label::Text("None")),
            ("replayssm_buffer_len", Label::Text("16")),
            ("skip_page_size_padded", Label::Text("None")),
            ("sliding_window", Label::Text("None")),
            ("swa_bounded_replay", Label::Text("True")),
            ("use_kda_recoverssm", Label::Text("False")),
            ("use_replayssm", Label::Text("False")),
            ("user_specified_block_size", Label::Text("False")),
        ];
        self.sink.family(CACHE_CONFIG, "Information of the LLMEngine CacheConfig", "gauge");
        self.sink.fixed(CACHE_CONFIG, &labels, 1.0);
    }

    fn gauge(&mut self, name: &str, help: &str, lines: &[Line<'_>]) {
        self.sink.family(name, help, "gauge");
        for (labels, value) in lines {
            self.sink.line(name, labels, *value);
        }
    }

    fn counter(&mut self, name: &str, help: &str, lines: &[Line<'_>]) {
        let total = name_with(name, "_total");
        self.sink.family(&total, help, "counter");
        for (labels, value) in lines {
            self.sink.line(&total, labels, *value);
        }
        let created = name_with(name, "_created");
        self.sink.family(&created, help, "gauge");
        for (labels, _) in lines {
            self.sink.fixed(&created, labels, self.created);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let bounds = histogram.bounds().iter().copied().chain([f64::INFINITY]);
        let mut total = 0;
        let buckets = bounds.zip(histogram.counts()).map(|(bound, count)| {
            total += count;
            (bound, total)
        });
        self.buckets(name, help, buckets, histogram.sum());
    }

    fn iteration_tokens(&mut self, stats: &Stats) {
        let buckets = stats.iteration_tokens.buckets();
        let buckets = buckets.map(|(bound, count)| (bound.map_or(f64::INFINITY, f64::from), count));
        let sum = stats.iteration_tokens.sum() as f64;
        self.buckets(
            "vllm:iteration_tokens_total",
            "Histogram of number of tokens per engine_step.",
            buckets,
            sum,
        );
    }

    fn buckets(&mut self, name: &str, help: &str, buckets: impl Iterator<Item = (f64, u64)>, sum: f64) {
        self.sink.family(name, help, "histogram");
        let bucket = name_with(name, "_bucket");
        let mut total = 0;
        for (bound, count) in buckets {
            self.sink.line(&bucket, &[("le", Label::Bound(bound))], count as f64);
            total = count;
        }
        self.sink.line(&name_with(name, "_count"), &[], total as f64);
        self.sink.line(&name_with(name, "_sum"), &[], sum);
        let created = name_with(name, "_created");
        self.sink.family(&created, help, "gauge");
        self.sink.fixed(&created, &[], self.created);
    }
}

/// Labels and value of one line.
type Line<'a> = (&'a [(&'a str, Label<'a>)], f64);

fn name_with(name: &str, suffix: &str) -> String {
    [name, suffix].concat()
}
