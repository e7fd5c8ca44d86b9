//! Prints what the parsers cost on this machine, in µs a call: `cargo run --release -p roadstead-wire --example
//! timings`. Best of several rounds, so that a busy machine disturbs little.

use std::hint::black_box;
use std::time::{Duration, Instant};

use roadstead_wire::metrics::{Wanted, scan};
use roadstead_wire::openai::{Api, block_hashes, hash_seed, scan_request};
use roadstead_wire::sse::EventScanner;

const ROUNDS: usize = 200;
const ROUND: Duration = Duration::from_millis(1);
const PAGE: &[u8] = include_bytes!("../tests/fixtures/metrics-after.txt");
const CHUNK: &[u8] = b"data: {\"id\":\"chatcmpl-98419f151371467d\",\"object\":\"chat.completion.chunk\",\
    \"created\":1795373233,\"model\":\"sql-lora\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" slit\"},\
    \"logprobs\":null,\"finish_reason\":null,\"token_ids\":null}]}\n\n";

fn main() {
    let plain = "The quick brown fox jumps over the lazy dog again. ";
    let lines = "A line of ordinary prose that is as long as people tend to write, then it ends.\\n";
    for (name, text) in [
        ("plain", plain),
        ("newline every 80", lines),
        ("every other char escaped", "a\\nb\\\""),
        ("\\u escapes only", "\\u4e2d\\u6587"),
        ("two-byte letters", "журнал"),
    ] {
        for kib in [2, 40, 400] {
            let body = chat(text, kib * 1000);
            let scan = best(|| {
                black_box(scan_request(Api::ChatCompletions, black_box(&body)).is_ok());
            });
            let whole = best(|| {
                let view = scan_request(Api::ChatCompletions, black_box(&body)).expect("a valid body");
                let seed = hash_seed(view.model.as_deref().unwrap_or_default(), None);
                black_box(block_hashes(&view, seed, 256, 4096));
            });
            println!("{kib:4} KB {name:26} scan {scan:8.2} µs, scan + hash {whole:8.2} µs");
        }
    }
    let ids = format!("{{\"model\":\"m\",\"prompt\":[{}1]}}", "31337, ".repeat(40_000 / 7));
    let cost = best(|| {
        black_box(scan_request(Api::Completions, black_box(ids.as_bytes())).is_ok());
    });
    println!("  40 KB token ids                  scan {cost:8.2} µs");

    let wanted = Wanted::new([
        ("vllm:num_requests_waiting", 0),
        ("vllm:num_requests_running", 1),
        ("vllm:kv_cache_usage_perc", 2),
        ("vllm:gpu_cache_usage_perc", 2),
        ("vllm:cache_config_info", 3),
        ("vllm:lora_requests_info", 4),
    ]);
    let cost = best(|| {
        black_box(scan(black_box(PAGE), &wanted, |sample| {
            black_box(sample);
        }));
    });
    println!("metrics page of {} bytes: {cost:.2} µs", PAGE.len());

    let mut events = EventScanner::new();
    let cost = best(|| events.feed(black_box(CHUNK)));
    println!("stream chunk of {} bytes: {cost:.3} µs", CHUNK.len());
    let (start, end) = CHUNK.split_at(CHUNK.len() / 2);
    let cost = best(|| {
        events.feed(black_box(start));
        events.feed(black_box(end));
    });
    println!("the same in two pieces: {cost:.3} µs");
}

fn chat(text: &str, bytes: usize) -> Vec<u8> {
    let content = text.repeat(bytes / text.len());
    format!(
        "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{content}\"}}],\"stream\":true}}"
    )
    .into_bytes()
}

/// The cheapest round's mean, in µs a call.
fn best(mut call: impl FnMut()) -> f64 {
    let round = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        let mut calls = 0u32;
        while start.elapsed() < ROUND {
            for _ in 0..16 {
                call();
            }
            calls += 16;
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
    };
    (0..ROUNDS).map(|_| round(&mut call)).fold(f64::INFINITY, f64::min)
}
