//! The metrics page beside the captured ones, and what it says of what was done.

use roadstead_sim::{Server, SimConfig};

use crate::client::{config, get, metric, post, start, stream, until_metric};

const LORA_INFO: &str = "vllm:lora_requests_info";

fn lora_config() -> SimConfig {
    let mut config = config();
    config.loras = vec!["sql-lora".to_owned(), "math-lora".to_owned()];
    config.engine.max_loras = 2;
    config
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The page's `vllm:` lines; values that differ between servers are replaced.
fn normal_lines(page: &str) -> Vec<String> {
    let of_vllm = |line: &&str| {
        line.starts_with("vllm:") || line.split(' ').nth(2).is_some_and(|n| n.starts_with("vllm:"))
    };
    let lines = page.lines().filter(of_vllm).map(|line| {
        if line.starts_with('#') {
            return line.to_owned();
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        if series.starts_with("vllm:cache_config_info") {
            let names: Vec<&str> = series.split('"').step_by(2).collect();
            return format!("{} {value}", names.join("_"));
        }
        let created = series.contains("_created{");
        format!("{series} {}", if created { "created" } else { value })
    });
    lines.collect()
}

#[tokio::test]
async fn the_idle_page_is_the_captured_one_line_by_line() {
    let server = start(lora_config()).await;
    let answer = get(&server, "/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let (ours, theirs) = (normal_lines(&answer.body), normal_lines(&fixture("metrics-idle.txt")));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    server.stop().await;
}

#[tokio::test]
async fn the_page_tells_what_was_done() {
    let server = start(config()).await;
    let body = r#"{"prompt":"12345678","max_tokens":10,"ignore_eos":true,"n":2}"#;
    assert_eq!(post(&server, "/v1/completions", body).await.status, 200);
    let labels = "{engine=\"0\",model_name=\"tiny\"}";
    let table = [
        ("vllm:prompt_tokens_total", 4.0),
        ("vllm:generation_tokens_total", 20.0),
        ("vllm:request_prompt_tokens_count", 2.0),
        ("vllm:request_prompt_tokens_sum", 4.0),
        ("vllm:request_generation_tokens_sum", 20.0),
        ("vllm:request_params_n_sum", 4.0),
        ("vllm:request_params_max_tokens_sum", 20.0),
        ("vllm:time_to_first_token_seconds_count", 2.0),
        ("vllm:inter_token_latency_seconds_count", 18.0),
        ("vllm:e2e_request_latency_seconds_count", 2.0),
        ("vllm:num_requests_running", 0.0),
    ];
    for (name, expected) in table {
        assert_eq!(metric(&server, &format!("{name}{labels}")).await, expected, "{name}");
    }
    let finished = "vllm:request_success_total{engine=\"0\",finished_reason=\"length\",model_name=\"tiny\"}";
    assert_eq!(metric(&server, finished).await, 2.0);
    server.stop().await;
}

#[tokio::test]
async fn a_second_turn_hits_the_cache_of_the_first() {
    let server = start(config()).await;
    let question = "what do you know of the sea? ".repeat(20);
    let first = format!("[{{\"role\":\"user\",\"content\":\"{question}\"}}]");
    let body = |messages: &str| format!("{{\"messages\":{messages},\"max_tokens\":100,\"ignore_eos\":true}}");
    let answer = post(&server, "/v1/chat/completions", &body(&first)).await.json();
    assert_eq!(metric(&server, "vllm:prefix_cache_hits_total{").await, 0.0);
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let second = format!(
        "[{{\"role\":\"user\",\"content\":\"{question}\"}},{{\"role\":\"assistant\",\"content\":\"{said}\"}},{{\"role\":\"user\",\"content\":\"more\"}}]"
    );
    post(&server, "/v1/chat/completions", &body(&second)).await;
    let exchange = answer["usage"]["total_tokens"].as_f64().unwrap();
    let hits = metric(&server, "vllm:prefix_cache_hits_total{").await;
    // All full blocks of the first exchange, the answer's included; its last token was never computed.
    assert!(hits > exchange - 17.0 && hits <= exchange, "{hits} of {exchange}");
    server.stop().await;
}

#[tokio::test]
async fn a_stretched_server_reports_stretched_times() {
    let mut sums = Vec::new();
    for time_scale in [0.05, 0.5] {
        let mut config = config();
        config.time_scale = time_scale;
        let server = start(config).await;
        post(&server, "/v1/completions", r#"{"prompt":"x","max_tokens":50,"ignore_eos":true}"#).await;
        sums.push(metric(&server, "vllm:e2e_request_latency_seconds_sum").await);
        server.stop().await;
    }
    let ratio = sums[1] / sums[0];
    assert!((9.9..10.1).contains(&ratio), "{sums:?}");
}

fn adapter_lines(page: &str) -> Vec<(String, f64)> {
    let lines = page.lines().filter(|line| line.starts_with(LORA_INFO));
    let parsed = lines.map(|line| line.rsplit_once(' ').unwrap());
    parsed.map(|(series, time)| (series.to_owned(), time.parse().unwrap())).collect()
}

async fn adapter_series(server: &Server) -> Vec<(String, f64)> {
    adapter_lines(&get(server, "/metrics").await.body)
}

#[tokio::test]
async fn adapters_in_flight_make_series_and_the_latest_counts() {
    let server = start(lora_config()).await;
    assert!(adapter_series(&server).await.is_empty());
    let body = |model: &str| {
        format!(
            "{{\"model\":\"{model}\",\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,\"stream\":true}}"
        )
    };
    let mut math = stream(&server, "/v1/completions", &body("math-lora")).await;
    math.next().await.unwrap();
    let mut sql = stream(&server, "/v1/completions", &body("sql-lora")).await;
    sql.next().await.unwrap();
    let loaded = adapter_series(&server).await;
    let names: Vec<&String> = loaded.iter().map(|(series, _)| series).collect();
    let captured = adapter_lines(&fixture("metrics-loaded.txt"));
    for series in &names {
        assert!(captured.iter().any(|(theirs, _)| &theirs == series), "{series}");
    }
    let latest = loaded.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(latest.0.contains("running_lora_adapters=\"math-lora,sql-lora\""), "{latest:?}");
    drop((math, sql));
    until_metric(&server, "vllm:num_requests_running{", 0.0).await;
    post(&server, "/v1/completions", r#"{"prompt":"x"}"#).await;
    let after = adapter_series(&server).await;
    let latest = after.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(latest.0.contains("running_lora_adapters=\"\""), "{latest:?}");
    assert!(after.len() >= loaded.len());
    server.stop().await;
}

#[tokio::test]
async fn without_adapters_there_is_no_family_for_them() {
    let server = start(config()).await;
    assert!(!get(&server, "/metrics").await.body.contains(LORA_INFO));
    server.stop().await;
}
