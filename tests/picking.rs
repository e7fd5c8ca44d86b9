//! The picking, each time beside `--policy random` before the same servers, which must not do as well.

#![allow(clippy::unwrap_used)] // what cannot go on fails its test

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::fleet::completion;
use support::{Answer, Gateway, MODEL, Server, client, soon};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, sleep_until};

const WAITING: &str = "vllm:num_requests_waiting{";

/// A gateway that picks by state and one that picks by chance.
async fn two_gateways(servers: &[&Server]) -> (Gateway, Gateway) {
    let by_state = Gateway::before(servers, &["--access-log", "off"]).await;
    let by_chance = Gateway::before(servers, &["--access-log", "off", "--policy", "random"]).await;
    (by_state, by_chance)
}

/// Requests that do not pass the gateway; they end when this is dropped.
struct Outside {
    _requests: JoinSet<()>,
}

impl Outside {
    fn load(server: &Server, count: usize, body: &Value) -> Outside {
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (address, body) = (server.address, body.to_string());
            tasks.spawn(async move {
                let request = client::request(http::Method::POST, "/v1/completions", &[], &body);
                let _ = client::open(address, request).await.unwrap().whole().await;
            });
        }
        Outside { _requests: tasks }
    }
}

/// The share of answers that came from `server`.
fn share(answers: &[Answer], server: &Server) -> f64 {
    let name = server.name();
    let from_there = answers.iter().filter(|answer| answer.endpoint() == name).count();
    from_there as f64 / answers.len() as f64
}

/// Sends `count` requests, one every `every`, whether or not they are answered meanwhile.
async fn send_paced(
    gateway: &Gateway,
    body: Value,
    count: usize,
    every: Duration,
) -> Vec<JoinHandle<Answer>> {
    let mut ticks = interval(every);
    let mut sent = Vec::new();
    for _ in 0..count {
        ticks.tick().await;
        let (to, body) = (gateway.address, body.clone());
        sent.push(tokio::spawn(async move { client::post(to, "/v1/completions", &body).await }));
    }
    sent
}

/// All answers, which must be good.
async fn answers(sent: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for answer in sent {
        let answer = soon(answer).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn work_that_others_brought_is_seen_within_200_ms_and_avoided() {
    // Slow servers: what is in their way stays there for the whole test.
    let servers = Server::start_many(2, &["--time-scale", "4", "--max-num-seqs", "16"]).await;
    let (loaded, idle) = (&servers[0], &servers[1]);
    let (by_state, by_chance) = two_gateways(&[loaded, idle]).await;

    let outside = Outside::load(loaded, 40, &completion(MODEL, "Somebody else's.", 2_000));
    loaded.until_metric(WAITING, |waiting| waiting >= 10.0).await;
    sleep_until(Instant::now() + Duration::from_millis(200)).await;

    let body = completion(MODEL, "Where is room?", 2);
    let every = Duration::from_millis(25);
    let (state, chance) = tokio::join!(
        send_paced(&by_state, body.clone(), 100, every),
        send_paced(&by_chance, body.clone(), 100, every)
    );
    assert!(loaded.metric(WAITING).await >= 10.0, "the outside load ended too early");
    // What chance sent there waits behind it.
    drop(outside);
    let (state, chance) = (answers(state).await, answers(chance).await);
    let (state, chance) = (share(&state, idle), share(&chance, idle));
    println!("to the idle server: {state:.2} by state, {chance:.2} by chance");
    assert!(state >= 0.95, "{state:.2} of the requests reached the idle server");
    assert!(chance < 0.95, "{chance:.2} by chance: this shows nothing");
}

#[tokio::test]
async fn a_request_for_an_adapter_goes_to_the_server_that_has_it() {
    let servers = Server::start_many(3, &["--max-loras", "2", "--time-scale", "0.2"]).await;
    let all: Vec<&Server> = servers.iter().collect();
    let by_state = Gateway::before(&all, &["--access-log", "off"]).await;
    servers[1].load_adapter("law").await;
    by_state
        .until_endpoint(&servers[1].name(), "lists the adapter", |endpoint| {
            endpoint["models"].as_array().unwrap().iter().any(|model| model == "law")
        })
        .await;
    let every = Duration::from_millis(10);
    let sent = send_paced(&by_state, completion("law", "Is it?", 3), 20, every).await;
    assert_eq!(share(&answers(sent).await, &servers[1]), 1.0);
}

#[tokio::test]
async fn of_the_servers_that_know_an_adapter_the_one_where_it_runs_is_taken() {
    let args = ["--lora", "law", "--lora", "tax", "--max-loras", "2", "--time-scale", "2"];
    let servers = Server::start_many(3, &args).await;
    let all: Vec<&Server> = servers.iter().collect();
    let (by_state, by_chance) = two_gateways(&all).await;
    // Everywhere something runs: on one server the adapter that will be asked for.
    let outside: Vec<Outside> = servers
        .iter()
        .zip(["tax", "law", "tax"])
        .map(|(server, adapter)| Outside::load(server, 1, &completion(adapter, "Outside.", 4_000)))
        .collect();
    for (server, adapter) in servers.iter().zip(["tax", "law", "tax"]) {
        by_state
            .until_endpoint(&server.name(), "runs its adapter", |endpoint| {
                endpoint["facts"]["adapters_running"] == serde_json::json!([adapter])
            })
            .await;
    }
    let (body, every) = (completion("law", "Is it?", 2), Duration::from_millis(40));
    let state = answers(send_paced(&by_state, body.clone(), 40, every).await).await;
    let chance = answers(send_paced(&by_chance, body, 40, every).await).await;
    let (state, chance) = (share(&state, &servers[1]), share(&chance, &servers[1]));
    println!("to the server that runs the adapter: {state:.2} by state, {chance:.2} by chance");
    assert!(state >= 0.95, "{state:.2} of the requests reached the server that runs the adapter");
    assert!(chance < 0.95, "{chance:.2} by chance: this shows nothing");
    drop(outside);
}

const PREFIXES: usize = 40;
const REPEATS: usize = 20;
const PREFIX_TOKENS: usize = 4_096;
/// Of simulated servers: a token is so many bytes of text.
const TOKEN_BYTES: usize = 4;
const AT_ONCE: usize = 8;

/// A prefix that no other number shares a block with.
fn prefix(kind: &str, number: usize) -> String {
    let mut text = format!("{kind} {number:04} ");
    while text.len() < PREFIX_TOKENS * TOKEN_BYTES {
        text.push_str(&format!("{:016x} ", text.len() * 7919 + number));
    }
    text.truncate(PREFIX_TOKENS * TOKEN_BYTES);
    text
}

/// Prompt tokens that the servers computed so far: what they looked for in their caches and did not find.
async fn computed_tokens(servers: &[&Server]) -> f64 {
    let mut tokens = 0.0;
    for server in servers {
        tokens += server.metric("vllm:prefix_cache_queries_total").await;
        tokens -= server.metric("vllm:prefix_cache_hits_total").await;
    }
    tokens
}

/// Sends every prefix `REPEATS` times, interleaved. How often each was computed, on average.
async fn times_computed(gateway: &Gateway, servers: &[&Server], kind: &str) -> f64 {
    let before = computed_tokens(servers).await;
    let prefixes: Vec<String> = (0..PREFIXES).map(|number| prefix(kind, number)).collect();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for repeat in 0..REPEATS {
        for turn in 0..PREFIXES {
            // Another order each time.
            let prefix = &prefixes[(turn * 7 + repeat * 11) % PREFIXES];
            let body = completion(MODEL, &format!("{prefix}{repeat:04}"), 2);
            let permit = room.clone().acquire_owned().await.unwrap();
            let to = gateway.address;
            running.spawn(async move {
                let answer = client::post(to, "/v1/completions", &body).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                drop(permit);
            });
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    (computed_tokens(servers).await - before) / (PREFIXES * PREFIX_TOKENS) as f64
}

#[tokio::test]
async fn a_shared_prefix_is_computed_once_and_not_on_every_server() {
    let servers = Server::start_many(4, &["--time-scale", "0.2"]).await;
    let all: Vec<&Server> = servers.iter().collect();
    let (by_state, by_chance) = two_gateways(&all).await;
    let state = times_computed(&by_state, &all, "state").await;
    let chance = times_computed(&by_chance, &all, "chance").await;
    println!("each prefix computed {state:.2} times by state, {chance:.2} times by chance");
    assert!(state <= 1.2, "each prefix was computed {state:.2} times");
    assert!(chance >= 2.5, "{chance:.2} by chance: this shows nothing");

    let body = completion(MODEL, &prefix("state", 3), 1);
    let asked = [("x-roadstead-explain", "1")];
    let answer = client::post_with(by_state.address, "/v1/completions", &asked, &body).await;
    let why = explained(answer.header("x-roadstead-explain"));
    assert_eq!(why["policy"], "least-wait");
    assert_eq!(why["chosen"], answer.endpoint());
    let hit: usize = why["hit"].parse().unwrap();
    assert!(hit > PREFIX_TOKENS * 9 / 10, "{why:?}");
}

/// The policy, the endpoint, and what is said of it.
fn explained(header: &str) -> HashMap<String, String> {
    let mut parts = header.split("; ");
    let mut why = HashMap::new();
    let words = parts.by_ref().take(3).flat_map(str::split_whitespace);
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        why.insert(name.to_owned(), value.to_owned());
    }
    why
}
