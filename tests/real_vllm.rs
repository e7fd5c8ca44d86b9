//! Two real vLLM servers behind `roadstead serve`.

#![allow(clippy::unwrap_used)] // what cannot go on fails its test

mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use support::fleet::streamed;
use support::{Gateway, Process, client, pools, skip, until, until_within};
use tokio::task::JoinSet;

/// Names the folder that `tests/tools/real-vllm/setup` made; `cargo xtask test --real-vllm DIR` sets it.
const FOLDER: &str = "ROADSTEAD_REAL_VLLM";
const SERVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tools/real-vllm/serve");
/// Loading Python and the model on a slow machine.
const START_MAX: Duration = Duration::from_secs(300);
/// Older facts are no live state.
const AGE_MS_MAX: f64 = 1_000.0;
const SEQUENCES_MAX: u64 = 4;

struct Vllm {
    process: Process,
    address: SocketAddr,
}

impl Vllm {
    fn start(folder: &Path, port: u16) -> Vllm {
        let process = Process::start(Command::new(SERVE).arg(folder).arg(port.to_string()));
        Vllm { process, address: (Ipv4Addr::LOCALHOST, port).into() }
    }

    async fn until_ready(&self) {
        let health = || client::request(Method::GET, "/health", &[], "");
        let look =
            || async { client::send(self.address, health()).await.is_ok_and(|said| said.status == 200) };
        until_within(START_MAX, "vLLM answers", look).await;
    }

    fn name(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Vllm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.process.out().text());
        }
    }
}

/// The first of two ports, both free with what vLLM opens 1000 and 2000 above them.
fn free_ports() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    #[allow(clippy::disallowed_methods)] // only to see whether they are free
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let all = |first: &u16| (0..2).all(|n| (0..3).all(|k| free(first + n + 1000 * k)));
    (start..32_000).find(all).expect("some ports are free")
}

#[tokio::test]
async fn two_real_servers_answer_behind_the_gateway() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return skip("two real vLLM servers: ROADSTEAD_REAL_VLLM is not set");
    };
    let port = free_ports();
    let vllms = [Vllm::start(&folder, port), Vllm::start(&folder, port + 1)];
    for vllm in &vllms {
        vllm.until_ready().await;
    }
    let names = vllms.each_ref().map(Vllm::name);
    let gateway = Gateway::serve(&names, &[]).await;
    gateway.until_ready(2).await;

    answers_base_and_adapter(&gateway).await;
    an_adapter_on_one_server_is_found(&gateway, &vllms[1], &folder).await;
    live_metrics_show(&gateway).await;
    errors_pass_through(&gateway, &vllms[0]).await;
    gateway.until_settled().await;
}

fn chat(model: &str, stream: bool) -> Value {
    let mut body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": "Where should this go?" }],
        "max_tokens": 8,
        "ignore_eos": true,
    });
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    body
}

async fn answers_base_and_adapter(gateway: &Gateway) {
    assert_eq!(models(gateway).await, ["sql-lora", "tiny"]);
    for model in ["tiny", "sql-lora"] {
        let answer = gateway.complete(model, 8).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            (&answer.json()["model"], &answer.json()["usage"]["completion_tokens"]),
            (&json!(model), &json!(8))
        );
        let answer = client::post(gateway.address, "/v1/chat/completions", &chat(model, false)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["model"], model);

        let stream = client::stream(gateway.address, "/v1/chat/completions", &chat(model, true)).await;
        assert_eq!(stream.status, 200);
        let events = stream.rest().await.unwrap();
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{events:?}");
        let usage: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
        assert_eq!((&usage["model"], &usage["usage"]["completion_tokens"]), (&json!(model), &json!(8)));
    }
    until("the log has a line for each", || async { gateway.log().len() >= 7 }).await;
    let log = gateway.log();
    let line = log.iter().rfind(|line| line["path"] == "/v1/chat/completions").unwrap();
    assert_eq!(
        (&line["model"], &line["status"], &line["output_tokens"]),
        (&json!("sql-lora"), &json!(200), &json!(8))
    );
}

async fn models(gateway: &Gateway) -> Vec<String> {
    let list = client::get(gateway.address, "/v1/models").await.json();
    let ids = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

async fn an_adapter_on_one_server_is_found(gateway: &Gateway, vllm: &Vllm, folder: &Path) {
    let path = folder.join("chat-lora");
    let body = json!({ "lora_name": "chat-lora", "lora_path": path });
    let loaded = client::post(vllm.address, "/v1/load_lora_adapter", &body).await;
    assert_eq!(loaded.status, 200, "{}", loaded.body);
    gateway
        .until_endpoint(&vllm.name(), "lists the adapter", |endpoint| {
            endpoint["models"].as_array().unwrap().iter().any(|model| model == "chat-lora")
        })
        .await;
    for _ in 0..6 {
        let answer = gateway.complete("chat-lora", 4).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.endpoint(), vllm.name());
        assert_eq!(answer.json()["model"], "chat-lora");
    }
    until("the adapter is in the union of models", || async {
        models(gateway).await == ["chat-lora", "sql-lora", "tiny"]
    })
    .await;
}

async fn live_metrics_show(gateway: &Gateway) {
    // More than both can run at once; those that wait have no answer yet.
    let mut clients = JoinSet::new();
    for number in 0..3 * SEQUENCES_MAX {
        let body = streamed("tiny", &format!("Number {number} goes on."), 3_000).to_string();
        let to = gateway.address;
        clients.spawn(async move {
            let request = client::request(Method::POST, "/v1/completions", &[], &body);
            client::open(to, request).await?.whole().await
        });
    }
    let fact = |endpoint: &Value, name: &str| {
        let fact = &endpoint["facts"][name];
        let age = fact["age_ms"].as_f64().unwrap_or(f64::INFINITY);
        if age < AGE_MS_MAX { fact["value"].as_f64().unwrap_or(0.0) } else { 0.0 }
    };
    until("both servers' load shows, fresh", || async {
        let endpoints = pools::endpoints(gateway.admin).await;
        endpoints.iter().all(|endpoint| {
            fact(endpoint, "running_requests") == SEQUENCES_MAX as f64
                && fact(endpoint, "waiting_requests") >= 1.0
                && fact(endpoint, "kv_cache_usage") > 0.0
        })
    })
    .await;
    clients.shutdown().await;
    until("nothing runs once the clients have left", || async {
        let endpoints = pools::endpoints(gateway.admin).await;
        endpoints.iter().all(|endpoint| {
            endpoint["facts"]["running_requests"]["value"] == 0
                && endpoint["facts"]["waiting_requests"]["value"] == 0
        })
    })
    .await;
}

async fn errors_pass_through(gateway: &Gateway, vllm: &Vllm) {
    for (path, body) in [
        ("/v1/chat/completions", json!({ "model": "tiny" })),
        ("/v1/completions", json!({ "model": "tiny", "prompt": "x", "max_tokens": -1 })),
        ("/v1/completions", json!({ "model": "tiny", "prompt": "word ".repeat(6_000), "max_tokens": 1 })),
    ] {
        let own = client::post(vllm.address, path, &body).await;
        let passed = client::post(gateway.address, path, &body).await;
        assert_eq!(own.status, 400, "{}", own.body);
        assert_eq!((passed.status, passed.body), (own.status, own.body));
    }
    let unknown = gateway.complete("no-such-model", 1).await;
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.json()["error"]["message"].as_str().unwrap().contains("no-such-model"),
        "{}",
        unknown.body
    );
    assert_eq!(gateway.complete("tiny", 1).await.status, 200);
}
