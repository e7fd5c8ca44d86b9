//! How fast the engine simulates: replica-seconds per CPU second, Llama-2-7B on H100, ShareGPT lengths.
//!
//! `cargo run --release -p roadstead-engine --example throughput -- [requests per second and replica] [virtual seconds]`

use std::time::Duration;

use roadstead_engine::{Engine, EngineConfig, Job, Output, Preset, Prompt, TokenOutputs};

const REPLICAS: usize = 50;
/// Quantiles of ShareGPT prompt and answer lengths as the seed benchmark filters them.
const SHARES: [f64; 8] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0];
const PROMPT_TOKENS: [f64; 8] = [4.0, 11.8, 32.8, 109.0, 450.0, 714.0, 987.0, 1024.0];
const ANSWER_TOKENS: [f64; 8] = [4.0, 25.6, 37.1, 144.0, 339.7, 564.0, 948.0, 1024.0];

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<f64>().expect("a number"));
    let rate = args.next().unwrap_or(10.0);
    let seconds = args.next().unwrap_or(200.0);
    for (prefix_caching, token_outputs) in [
        (false, TokenOutputs::EveryBlock),
        (true, TokenOutputs::EveryBlock),
        (false, TokenOutputs::EveryStep),
        (true, TokenOutputs::EveryStep),
    ] {
        run(rate, seconds, prefix_caching, token_outputs);
    }
}

fn run(rate: f64, seconds: f64, prefix_caching: bool, token_outputs: TokenOutputs) {
    let preset = Preset::by_name("llama-2-7b@h100").expect("a known preset");
    let mut rng = fastrand::Rng::with_seed(1);
    let mut out: Vec<Output> = Vec::new();
    let (mut tokens, mut steps, mut running, mut preemptions) = (0, 0, 0.0, 0);
    let started = cpu_seconds();
    for seed in 0..REPLICAS as u64 {
        let config = EngineConfig { prefix_caching, token_outputs, seed, ..EngineConfig::new(preset) };
        let mut engine = Engine::new(config);
        let mut now = 0.0;
        while now < seconds {
            now -= (1.0 - rng.f64()).ln() / rate;
            let at = Duration::from_secs_f64(now);
            engine.advance(at, &mut out);
            out.clear();
            let prompt_tokens = length(&PROMPT_TOKENS, rng.f64());
            let salt = rng.u64(..);
            let mut job = Job::new(
                Prompt::from_hashes(Vec::new(), prompt_tokens, salt),
                length(&ANSWER_TOKENS, rng.f64()),
            );
            job.output_seed = salt;
            engine.submit(at, job).expect("it fits");
            running += f64::from(engine.stats().running);
        }
        let counters = engine.stats().counters;
        tokens += counters.generation_tokens;
        steps += counters.steps;
        preemptions += counters.preemptions;
    }
    let spent = cpu_seconds() - started;
    println!(
        "prefix caching {prefix_caching:5}, reports {token_outputs:?}: {:6.0} replica-s/s, {:.2} M steps/s, {:.0} M tokens/s, \
         {:.1} running on average, {preemptions} preemptions",
        REPLICAS as f64 * seconds / spent,
        steps as f64 / spent / 1e6,
        tokens as f64 / spent / 1e6,
        running / (REPLICAS as f64 * seconds * rate),
    );
}

/// CPU time of this thread so far, so that other load on the machine does not count (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let on_cpu_ns = stat.split(' ').next().expect("three numbers");
    on_cpu_ns.parse::<f64>().expect("nanoseconds") / 1e9
}

/// The length at this share of the distribution, between knots on a logarithmic scale.
fn length(knots: &[f64; 8], share: f64) -> u32 {
    let right = SHARES.partition_point(|s| *s <= share).clamp(1, 7);
    let within = (share - SHARES[right - 1]) / (SHARES[right] - SHARES[right - 1]);
    let (low, high) = (knots[right - 1].ln(), knots[right].ln());
    (low + (high - low) * within).exp().round() as u32
}
