//! Whole runs against a small server on loopback: what is measured must be what the server did.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod fake;

use clap::Parser;
use fake::{Behaviour, Fake};
use roadstead_loadgen::report::{Flag, RowReport};
use roadstead_loadgen::{BenchArgs, Plan, Quiet, Report, run};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const FAST: Behaviour = Behaviour::Stream { tokens: 4, first: Duration::ZERO, gap: Duration::ZERO };

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

fn plan(url: &str, arguments: &str) -> Plan {
    let given = ["bench", "--url", url].into_iter().chain(arguments.split_whitespace());
    Cli::try_parse_from(given).unwrap().bench.into_plan().unwrap()
}

async fn report(fake: &Fake, arguments: &str) -> Report {
    run(&plan(&fake.url(), arguments), CancellationToken::new(), Quiet).await.unwrap()
}

/// The only row of a short run with one fixed model.
async fn row(behaviour: Behaviour, arguments: &str) -> RowReport {
    let fake = Fake::start(behaviour).await;
    let mut report =
        report(&fake, &format!("--model m --input-tokens 8 --output-tokens 4 {arguments}")).await;
    assert_eq!(report.rows.len(), 1);
    report.rows.remove(0)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[tokio::test]
async fn a_stream_is_timed_as_the_server_paced_it() {
    let (first, gap) = (Duration::from_millis(40), Duration::from_millis(10));
    let row = row(Behaviour::Stream { tokens: 6, first, gap }, "--rate 50 --requests 20").await;
    assert_eq!((row.counts.ok, row.counts.failed), (20, 0));
    let ttft = row.metrics["ttft_ms"];
    assert!(ttft.p50 >= ms(first) && ttft.p50 < 5.0 * ms(first), "{ttft:?}");
    let tpot = row.metrics["tpot_ms"];
    assert!(tpot.p50 >= ms(gap) && tpot.p50 < 5.0 * ms(gap), "{tpot:?}");
    assert!(row.metrics["e2e_ms"].p50 >= ms(first + 5 * gap));
    assert_eq!(row.metrics["itl_ms"].count, 20 * 5);
    assert_eq!(row.metrics["output_tokens"].mean, 6.0);
    assert_eq!((row.tokens.output, row.tokens.input), (120, 180));
    assert_eq!(row.served_by["e1"], 20);
}

#[tokio::test]
async fn every_failure_has_its_class() {
    for (behaviour, class) in [
        (Behaviour::NoEndMark, "truncated"),
        (Behaviour::CutBody, "truncated"),
        (Behaviour::ErrorEvent, "stream_error"),
        (Behaviour::Reset, "reset"),
        (Behaviour::Status(500), "status_500"),
        (Behaviour::Status(429), "status_429"),
        (Behaviour::Garbage, "malformed"),
        (Behaviour::Unary, "malformed"),
        (Behaviour::Silent, "timeout"),
    ] {
        let limit = if class == "timeout" { "200ms" } else { "60s" };
        let row = row(behaviour, &format!("--rate 200 --requests 5 --timeout {limit}")).await;
        assert_eq!((row.counts.ok, row.counts.failed), (0, 5), "{behaviour:?}");
        assert_eq!(row.errors.keys().collect::<Vec<_>>(), [class], "{behaviour:?}");
        assert!(!row.metrics.contains_key("e2e_ms"));
    }
}

#[tokio::test]
async fn a_closed_port_is_a_connect_error() {
    let fake = Fake::start(FAST).await;
    let url = fake.url();
    drop(fake);
    let report =
        run(&plan(&url, "--model m --concurrency 2 --requests 4"), CancellationToken::new(), Quiet).await;
    assert_eq!(report.unwrap().rows[0].errors["connect"].count, 4);
}

#[tokio::test]
async fn what_an_error_answer_says_is_kept() {
    let row = row(Behaviour::Status(503), "--rate 100 --requests 2").await;
    assert_eq!(row.errors["status_503"].example.as_deref(), Some(r#"{"error":"no"}"#));
}

#[tokio::test]
async fn a_generator_that_may_not_send_is_flagged() {
    let slow = Behaviour::Stream { tokens: 2, first: Duration::from_millis(300), gap: Duration::ZERO };
    let row = row(slow, "--rate 200 --requests 40 --in-flight-max 3").await;
    assert!(row.flags.contains(&Flag::NotSent) && row.flags.contains(&Flag::AchievedRate), "{:?}", row.flags);
    assert!(row.errors["not_sent"].count > 0);
}

#[tokio::test]
async fn a_generator_that_is_late_is_flagged_and_counts_from_the_intended_start() {
    let fake = Fake::start(FAST).await;
    let plan = plan(&fake.url(), "--model m --rate 100 --arrivals constant --requests 50 --output-tokens 4");
    let blocked = async {
        tokio::task::yield_now().await;
        // The runtime has one thread: nothing can be sent meanwhile.
        std::thread::sleep(Duration::from_millis(250));
    };
    let (report, ()) = tokio::join!(run(&plan, CancellationToken::new(), Quiet), blocked);
    let row = report.unwrap().rows.remove(0);
    assert!(row.flags.contains(&Flag::SendLag), "{:?}", row.flags);
    let (intended, sent) = (row.metrics["ttft_ms"].max, row.metrics["ttft_from_send_ms"].max);
    assert!(intended > 150.0 && sent < intended - 100.0, "{intended} {sent}");
}

#[tokio::test]
async fn connections_are_used_again_but_not_by_lpg() {
    let connections = |fake: &Fake| fake.seen().iter().map(|seen| seen.connection).max().unwrap() + 1;
    let fake = Fake::start(FAST).await;
    report(&fake, "--model m --concurrency 2 --requests 40 --output-tokens 4").await;
    assert_eq!((fake.seen().len(), connections(&fake)), (40, 2));

    let fake = Fake::start(Behaviour::Unary).await;
    let report = report(&fake, "--model m --lpg --rate 500 --requests 20 --lpg-send-cost 0").await;
    assert_eq!((report.rows[0].counts.ok, connections(&fake)), (20, 20));
    assert_eq!(report.rows[0].tokens.output, 140);
    assert!(!report.rows[0].metrics.contains_key("ttft_ms"));
    let body = &fake.seen()[0].body;
    assert_eq!((body["stream"].as_bool(), body["temperature"].as_f64()), (Some(false), Some(1.0)));
}

#[tokio::test]
async fn lpg_sends_slower_than_its_nominal_rate() {
    let row = row(Behaviour::Unary, "--lpg --rate 400 --duration 1s --lpg-send-cost 2ms").await;
    assert!(row.achieved_rate < 0.8 * 400.0, "{}", row.achieved_rate);
    assert_eq!((row.counts.ok, row.flags.as_slice()), (400, [Flag::AchievedRate].as_slice()));
}

#[tokio::test]
async fn the_same_seed_sends_the_same_requests() {
    let bodies = async |seed: u32| {
        let fake = Fake::start(FAST).await;
        report(&fake, &format!("--model a=0.5,b=0.5 --rate 400 --requests 30 --seed {seed}")).await;
        let mut bodies: Vec<String> = fake.seen().iter().map(|seen| seen.body.to_string()).collect();
        bodies.sort();
        bodies
    };
    let (one, two, other) = (bodies(7).await, bodies(7).await, bodies(8).await);
    assert_eq!(one, two);
    assert_ne!(one, other);
}

#[tokio::test]
async fn a_session_carries_its_conversation_and_its_key() {
    let fake = Fake::start(FAST).await;
    let arguments = "--model m --sessions 3 --turns 4 --think 1ms --session-ramp 10ms --system-tokens 6 \
                     --question-tokens 5 --output-tokens 4";
    let report = report(&fake, arguments).await;
    assert_eq!(report.rows[0].counts.ok, 12);
    let key = |head: &str| head.lines().find(|line| line.starts_with("x-session-id: ")).unwrap().to_owned();
    let seen = fake.seen();
    let keys: std::collections::BTreeSet<String> = seen.iter().map(|seen| key(&seen.head)).collect();
    assert_eq!(keys.len(), 3);
    for session in keys {
        let turns = seen.iter().filter(|seen| key(&seen.head) == session);
        let prompts: Vec<&str> = turns.map(|seen| seen.body["prompt"].as_str().unwrap()).collect();
        assert_eq!(prompts.len(), 4);
        for (before, after) in prompts.iter().zip(&prompts[1..]) {
            let added = after.strip_prefix(before).unwrap();
            assert_eq!(added.strip_prefix("t00 t01 t02 t03 ").unwrap().len(), 20);
        }
    }
}

#[tokio::test]
async fn sessions_met_under_way_bring_the_history_of_the_turns_they_skip() {
    let fake = Fake::start(FAST).await;
    let arguments = "--model m --sessions 12 --sessions-under-way --turns 5 --think 1ms --session-ramp 10ms \
                     --question-tokens 5 --output-tokens 4";
    let report = report(&fake, arguments).await;
    let requests = report.rows[0].counts.ok;
    assert!((13..60).contains(&requests), "{requests}");
    let mut longest = std::collections::BTreeMap::new();
    for seen in fake.seen() {
        let key = seen.head.lines().find(|line| line.starts_with("x-session-id: ")).unwrap().to_owned();
        let length = seen.body["prompt"].as_str().unwrap().len();
        longest.entry(key).and_modify(|most: &mut usize| *most = length.max(*most)).or_insert(length);
    }
    assert_eq!(longest.len(), 12);
    assert!(longest.values().all(|&length| length == 4 * (5 * 5 + 4 * 4)), "{longest:?}");
}

#[tokio::test]
async fn finished_sessions_are_followed_until_the_time_is_over() {
    let fake = Fake::start(FAST).await;
    let arguments =
        "--model m --sessions 2 --turns 2 --think 5ms --session-ramp 0 --question-tokens 5 --duration 300ms";
    let report = report(&fake, arguments).await;
    assert!(report.rows[0].counts.ok > 8, "{:?}", report.rows[0].counts);
    assert_eq!(report.rows[0].counts.failed, 0);
}

#[tokio::test]
async fn rates_give_a_row_each_and_targets_take_turns() {
    let (one, two) = (Fake::start(FAST).await, Fake::start(FAST).await);
    let arguments = format!("--url {} --model m --rate 100,200 --requests 20 --output-tokens 4", two.url());
    let report = report(&one, &arguments).await;
    assert_eq!(report.rows.iter().map(|row| row.counts.ok).collect::<Vec<_>>(), [20, 20]);
    assert_eq!((one.seen().len(), two.seen().len()), (20, 20));
    let prompts = one.seen().into_iter().chain(two.seen()).map(|seen| seen.body["prompt"].to_string());
    assert_eq!(prompts.collect::<std::collections::BTreeSet<_>>().len(), 40, "rows share no text");
    let table = report.to_string();
    let widths: Vec<usize> = table.lines().take(3).map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]) && table.contains("200 req/s"), "{table}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["rows"][1]["offered_rate"], 200.0);
    assert_eq!(json["config"]["models"][0]["name"], "m");
}

#[tokio::test]
async fn the_model_is_asked_for_when_none_is_named() {
    let fake = Fake::start(FAST).await;
    report(&fake, "--rate 100 --requests 2").await;
    assert_eq!(fake.seen()[1].body["model"], "listed");
}

#[tokio::test]
async fn a_stopped_run_reports_what_it_has() {
    let fake = Fake::start(Behaviour::Silent).await;
    let stop = CancellationToken::new();
    let plan = plan(&fake.url(), "--model m --rate 100 --duration 60s");
    let stopper = async {
        while fake.seen().len() < 5 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (report, ()) = tokio::join!(run(&plan, stop.clone(), Quiet), stopper);
    let row = report.unwrap().rows.remove(0);
    assert!(row.errors["stopped"].count >= 5 && row.flags.contains(&Flag::Stopped));
}

#[tokio::test]
async fn records_hold_one_line_per_request() {
    let fake = Fake::start(FAST).await;
    let path = std::env::temp_dir().join(format!("loadgen-records-{}.jsonl", std::process::id()));
    report(&fake, &format!("--model m --rate 200 --requests 10 --warmup 20ms --records {}", path.display()))
        .await;
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10);
    assert!(
        lines.iter().any(|line| line["warmup"] == true) && lines.iter().any(|line| line["warmup"] == false)
    );
    assert!(lines.iter().all(|line| line["output_tokens"] == 4 && line["ttft_ms"].is_number()));
}
