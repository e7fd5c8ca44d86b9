//! Simulated servers and gateways as processes, with where they listen.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::client::{self, Answer};
use super::process::Process;
use super::{pools, until};

/// One process of `roadstead sim` with one server.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    args: Vec<String>,
}

/// One process of `roadstead serve` or `up`.
pub struct Gateway {
    pub process: Process,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Server {
    /// A server with these further arguments, on any free port.
    pub async fn start(args: &[&str]) -> Server {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (process, address) = run(&args, 0).await;
        Server { process, address, args }
    }

    /// Several of them.
    pub async fn start_many(count: usize, args: &[&str]) -> Vec<Server> {
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(Server::start(args).await);
        }
        servers
    }

    /// Starts it again where it was, after it ended.
    pub async fn restart(&mut self) {
        (self.process, self.address) = run(&self.args, self.address.port()).await;
    }

    /// Its name as the gateway calls it.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// Switches faults on; an empty object ends all.
    pub async fn faults(&self, faults: Value) {
        // A server that answers garbage meanwhile drains its connections: a new one may be closed on.
        until("the faults are taken", || async {
            let request = client::request(http::Method::POST, "/sim/faults", &[], &faults.to_string());
            client::send(self.address, request).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// The sum of the values of the series of its metrics page that begin with `series`.
    pub async fn metric(&self, series: &str) -> f64 {
        pools::metric(self.address, series).await
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, series: &str, is: impl Fn(f64) -> bool) {
        until(series, || async { is(self.metric(series).await) }).await;
    }

    /// Loads an adapter.
    pub async fn load_adapter(&self, name: &str) {
        let body = json!({ "lora_name": name, "lora_path": format!("adapters/{name}") });
        let answer = client::post(self.address, "/v1/load_lora_adapter", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

async fn run(args: &[String], port: u16) -> (Process, SocketAddr) {
    let port = port.to_string();
    let mut all = vec!["sim", "--port", &port];
    all.extend(args.iter().map(String::as_str));
    let mut process = Process::roadstead(&all);
    let address = address(&process.says("Server").await);
    (process, address)
}

impl Gateway {
    /// `roadstead serve` before these servers, all of them ready.
    pub async fn before(servers: &[&Server], args: &[&str]) -> Gateway {
        let names: Vec<_> = servers.iter().map(|server| server.name()).collect();
        let gateway = Gateway::serve(&names, args).await;
        gateway.until_ready(servers.len()).await;
        gateway
    }

    /// `roadstead serve` before these addresses.
    pub async fn serve(endpoints: &[String], args: &[&str]) -> Gateway {
        let mut all = vec!["serve"];
        all.extend(endpoints.iter().map(String::as_str));
        all.extend(["--port", "0", "--admin-port", "0"]);
        all.extend(args);
        Gateway::of(Process::roadstead(&all)).await
    }

    /// `roadstead up` on free ports.
    pub async fn up(args: &[&str]) -> Gateway {
        let mut all = vec!["up", "--port", "0", "--admin-port", "0"];
        all.extend(args);
        Gateway::of(Process::roadstead(&all)).await
    }

    /// A process that says where it listens.
    pub async fn of(mut process: Process) -> Gateway {
        let front = address(&process.says("Gateway").await);
        let admin = address(&process.says("Admin").await);
        Gateway { process, address: front, admin }
    }

    /// Waits until so many endpoints take work and list their models.
    pub async fn until_ready(&self, count: usize) {
        until("the endpoints are ready", || async {
            let endpoints = pools::endpoints(self.admin).await;
            let ready = |endpoint: &&Value| {
                endpoint["ready"] == true
                    && endpoint["models"].as_array().is_some_and(|models| !models.is_empty())
            };
            endpoints.iter().filter(ready).count() >= count
        })
        .await;
    }

    /// Waits until nothing is in flight by its account.
    pub async fn until_settled(&self) {
        until("nothing is in flight", || async {
            let endpoints = pools::endpoints(self.admin).await;
            endpoints.iter().all(|endpoint| {
                let counts = endpoint["in_flight"].as_object().unwrap();
                counts.values().all(|count| *count == 0)
            })
        })
        .await;
    }

    /// Waits until what `/pools` says of an endpoint is as wanted.
    pub async fn until_endpoint(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) {
        until(&format!("{name} {what}"), || async { is(&pools::endpoint(self.admin, name).await) }).await;
    }

    /// Asks for a completion of `tokens` tokens.
    pub async fn complete(&self, model: &str, tokens: u32) -> Answer {
        client::post(self.address, "/v1/completions", &completion(model, "Where to?", tokens)).await
    }

    /// Access-log lines so far.
    pub fn log(&self) -> Vec<Value> {
        let lines = self.process.out().all();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A completion request that is answered with exactly `tokens` tokens.
pub fn completion(model: &str, prompt: &str, tokens: u32) -> Value {
    json!({ "model": model, "prompt": prompt, "max_tokens": tokens, "ignore_eos": true })
}

/// The same, streamed.
pub fn streamed(model: &str, prompt: &str, tokens: u32) -> Value {
    let mut body = completion(model, prompt, tokens);
    body["stream"] = true.into();
    body
}

/// The address in what a process says of where it listens.
fn address(said: &str) -> SocketAddr {
    let url = said.split_whitespace().next().unwrap_or_default();
    url.trim_start_matches("http://").parse().unwrap_or_else(|error| panic!("{error}: {said}"))
}
