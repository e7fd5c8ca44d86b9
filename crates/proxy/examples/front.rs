//! A front before one endpoint that is taken to be well, for measuring the front alone.
//!
//! `cargo run --release -p roadstead-proxy --example front -- LISTEN ENDPOINT [WORKERS]`

#![allow(clippy::unwrap_used)] // an example that cannot go on stops

use roadstead_core::{Endpoint, EndpointId, EngineState};
use roadstead_epp::{EppMetrics, PoolHandle};
use roadstead_fleet::FactSink;
use roadstead_net::{Listener, PoolLimits, ServerLimits, UpstreamPool, runtime, serve};
use roadstead_picker::{DEFAULT_POLICY, Fact, Limits, Machine, Policy};
use roadstead_proxy::{Front, ProxyLimits};
use roadstead_telemetry::{AccessLog, MetricRegistry};
use tokio_util::sync::CancellationToken;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, listen, endpoint, workers @ ..] = &arguments[..] else {
        eprintln!("usage: front LISTEN ENDPOINT [WORKERS]");
        std::process::exit(2);
    };
    let workers = workers.first().map(|workers| workers.parse().unwrap());
    runtime::build(workers).unwrap().block_on(run(listen, endpoint));
}

async fn run(listen: &str, endpoint: &str) {
    let policy = Policy::by_name(DEFAULT_POLICY).unwrap();
    let metrics = EppMetrics::register(&mut MetricRegistry::new());
    let pool = PoolHandle::new(Machine::new(policy, Limits::default(), 1), metrics);
    let id = EndpointId(0);
    let (name, authority) = ("endpoint-0".into(), endpoint.into());
    pool.observe(Fact::Joined(Endpoint { id, name, authority }));
    pool.observe(Fact::Scraped { endpoint: id, state: EngineState::default() });
    let upstreams = UpstreamPool::new(PoolLimits::default());
    let log = AccessLog::to(Box::new(std::io::sink()), true);
    let front = Front::new(pool.clone(), upstreams, ProxyLimits::default(), log);
    let listener = Listener::bind(listen.parse().unwrap()).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move { pool.drive(stop).await }
    });
    serve(listener, ServerLimits::default(), move |client| front.service(client), stop).await;
}
