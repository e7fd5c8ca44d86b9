//! `roadstead up`: one command, URLs, a curl line that works, ports, signals.

#![allow(clippy::unwrap_used)] // what cannot go on fails its test

mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde_json::{Value, json};
use support::fleet::streamed;
use support::{Gateway, MODEL, Process, Stream, client, pools, shell, soon, until};

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Holds a port. `None` where somebody else does.
fn hold(port: u16) -> Option<TcpListener> {
    #[allow(clippy::disallowed_methods)] // somebody else's listener
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

/// The curl line that was printed.
async fn curl_line(gateway: &mut Gateway) -> String {
    gateway.process.says("Try it:").await;
    let line = gateway.process.says("  curl ").await;
    format!("curl {line}")
}

/// Sends what the curl line would send.
async fn without_curl(line: &str) -> String {
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let body = line.split_once("-d '").unwrap().1.trim_end_matches('\'');
    let body: Value = serde_json::from_str(body).unwrap();
    let answer = client::post(host.parse().unwrap(), &format!("/{path}"), &body).await;
    answer.body
}

#[tokio::test]
async fn up_prints_urls_and_a_curl_line_that_works() {
    let mut gateway = Gateway::up(&["--replicas", "4"]).await;
    let line = curl_line(&mut gateway).await;
    let printed = gateway.process.out().all();
    let urls = printed.iter().filter_map(|line| line.strip_prefix("Server")?.split_whitespace().next());
    let servers: Vec<SocketAddr> =
        urls.map(|url| url.trim_start_matches("http://").parse().unwrap()).collect();
    assert_eq!(servers.len(), 4, "{printed:?}");
    for server in servers {
        assert_eq!(client::get(server, "/health").await.status, 200);
    }

    gateway.until_ready(4).await;
    let (ran, said) = shell(&line).await;
    let answer = if ran { said } else { without_curl(&line).await };
    let events: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(events.last(), Some(&"[DONE]"), "{answer}");
    let texts = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let text: String = texts
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert!(!text.is_empty(), "{answer}");
}

#[tokio::test]
async fn the_admin_port_tells_health_readiness_metrics_and_pools() {
    let gateway = Gateway::up(&["--replicas", "2", "--time-scale", "0.1"]).await;
    gateway.until_ready(2).await;
    assert_eq!(gateway.complete(MODEL, 5).await.status, 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client::get(gateway.admin, path).await.status, 200, "{path}");
    }
    let metrics = client::get(gateway.admin, "/metrics").await;
    assert!(metrics.header("content-type").contains("openmetrics"), "{:?}", metrics.head);
    assert_eq!(pools::metric(gateway.admin, "llm_d_epp_request_total").await, 1.0, "{}", metrics.body);
    let endpoints = pools::endpoints(gateway.admin).await;
    assert_eq!(endpoints.len(), 2);
    for endpoint in endpoints {
        assert_eq!(endpoint["models"], json!([MODEL]), "{endpoint}");
        let waiting = &endpoint["facts"]["waiting_requests"];
        assert!(waiting["age_ms"].is_number() && waiting["value"] == 0, "{endpoint}");
    }
    // Models are no business of this port, and the other has no state to tell.
    assert_eq!(client::get(gateway.admin, "/v1/models").await.status, 404);
    assert_eq!(client::get(gateway.address, "/pools").await.status, 404);
}

#[tokio::test]
async fn a_usual_port_that_is_taken_gives_way_to_the_next_free_one_and_that_is_said() {
    // Whoever holds them: they are taken now.
    let _held = (hold(8080), hold(9090));
    let mut gateway =
        Gateway::of(Process::roadstead(&["up", "--replicas", "1", "--time-scale", "0.1"])).await;
    let front = gateway.process.says("Port 8080 is taken; the gateway uses").await;
    let admin = gateway.process.says("Port 9090 is taken; the admin port uses").await;
    assert_eq!(front, format!("{}.", gateway.address.port()));
    assert_eq!(admin, format!("{}.", gateway.admin.port()));
    gateway.until_ready(1).await;
    assert_eq!(gateway.complete(MODEL, 1).await.status, 200);
}

/// Runs it, expecting that it ends with an error; what it says.
async fn refused(args: &[&str]) -> String {
    let mut process = Process::roadstead(args);
    let status = process.ended().await;
    let said = process.err().text();
    assert!(!status.success(), "{args:?} succeeded: {said}");
    for trace in ["panicked", "backtrace", "   0: "] {
        assert!(!said.contains(trace), "{said}");
    }
    said
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    #[allow(clippy::disallowed_methods)] // somebody else's listener
    let held = TcpListener::bind(ANY).unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let said = refused(&["up", "--replicas", "1", "--port", &port, "--admin-port", "0"]).await;
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port} for the gateway")), "{said}");
    let said = refused(&["up", "--replicas", "1", "--port", "0", "--admin-port", &port]).await;
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port} for the admin port")), "{said}");
    let said = refused(&["sim", "--port", &port]).await;
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");
}

#[tokio::test]
async fn a_name_that_is_unknown_is_answered_with_the_nearest_one() {
    let said = refused(&["up", "--preset", "lama-3.1-8b@h100"]).await;
    assert!(said.contains("did you mean llama-3.1-8b@h100?"), "{said}");
    let said = refused(&["up", "--policy", "least-weight"]).await;
    assert!(said.contains("least-wait") && said.contains("round-robin"), "{said}");
    let said = refused(&["up", "--time-scale", "0"]).await;
    assert!(said.contains("time scale"), "{said}");
    let said = refused(&["serve", "ftp://127.0.0.1:1"]).await;
    assert!(said.contains("bad address ftp://127.0.0.1:1"), "{said}");
}

/// A stream under way that takes a few seconds.
async fn under_way(gateway: &Gateway, tokens: u32) -> Stream {
    let mut stream =
        client::stream(gateway.address, "/v1/completions", &streamed(MODEL, "Go on.", tokens)).await;
    soon(stream.next()).await.unwrap().unwrap();
    stream
}

async fn drains_on(signal: &str) {
    let mut gateway = Gateway::up(&["--replicas", "1"]).await;
    gateway.until_ready(1).await;
    let stream = under_way(&gateway, 200).await;
    gateway.process.signal(signal);
    until("new connections are refused", || async { client::connect(gateway.address).await.is_err() }).await;
    assert_eq!(client::get(gateway.admin, "/readyz").await.status, 503);
    let events = stream.rest().await.unwrap();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert_eq!(events.iter().filter(|event| event.contains("\"text\":\"")).count(), 199, "{events:?}");
    assert_eq!(gateway.process.ended().await.code(), Some(0), "{}", gateway.process.err().text());
}

#[tokio::test]
async fn sigterm_lets_a_stream_finish_refuses_new_connections_and_ends_well() {
    drains_on("TERM").await;
}

#[tokio::test]
async fn ctrl_c_lets_a_stream_finish_refuses_new_connections_and_ends_well() {
    drains_on("INT").await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut gateway = Gateway::up(&["--replicas", "1", "--time-scale", "20"]).await;
    gateway.until_ready(1).await;
    let stream = under_way(&gateway, 1000).await;
    gateway.process.signal("INT");
    gateway.process.says("Draining").await;
    gateway.process.signal("INT");
    assert_eq!(gateway.process.ended().await.code(), Some(130));
    assert!(stream.rest().await.is_err());
}

#[tokio::test]
async fn the_time_scale_stretches_the_servers_clock() {
    let slow = Gateway::up(&["--replicas", "1", "--time-scale", "4"]).await;
    slow.until_ready(1).await;
    let began = std::time::Instant::now();
    assert_eq!(slow.complete(MODEL, 40).await.status, 200);
    // Weights alone take 5.8 ms a step there; a machine under load only adds to it.
    assert!(began.elapsed().as_secs_f64() > 40.0 * 4.0 * 0.0058, "took {:?}", began.elapsed());
    let fast = Gateway::up(&["--replicas", "1", "--time-scale", "0.001"]).await;
    fast.until_ready(1).await;
    let slow_took = began.elapsed();
    let began = std::time::Instant::now();
    assert_eq!(fast.complete(MODEL, 40).await.status, 200);
    assert!(began.elapsed() < slow_took, "took {:?} against {slow_took:?}", began.elapsed());
}
