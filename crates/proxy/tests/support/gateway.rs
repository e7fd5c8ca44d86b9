//! A gateway whose fleet is played by the test.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use roadstead_core::{EndpointId, EngineState};
use roadstead_epp::{EppMetrics, PoolHandle};
use roadstead_fleet::FactSink;
use roadstead_net::{Listener, PoolLimits, ServerLimits, UpstreamPool, serve};
use roadstead_picker::{Fact, Limits, Machine, Policy};
use roadstead_proxy::{Front, ProxyLimits};
use roadstead_telemetry::{AccessLog, MetricRegistry};
use tokio_util::sync::CancellationToken;

use super::{Client, Endpoint, loopback, until};

/// A gateway; stops when dropped.
pub struct Gateway {
    pub addr: SocketAddr,
    pub pool: PoolHandle,
    lines: Lines,
    stop: CancellationToken,
}

/// Access-log lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Gateway {
    /// Before `endpoints`, which are all well. Requests go to them in turn.
    pub fn before(endpoints: &[&Endpoint]) -> Gateway {
        let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.addr).collect();
        Gateway::limited(&addresses, ProxyLimits::default(), Limits::default())
    }

    /// With limits of its own.
    pub fn limited(endpoints: &[SocketAddr], limits: ProxyLimits, picking: Limits) -> Gateway {
        let policy = Policy::by_name("round-robin").unwrap();
        let metrics = EppMetrics::register(&mut MetricRegistry::new());
        let pool = PoolHandle::new(Machine::new(policy, picking, 1), metrics);
        for (id, addr) in endpoints.iter().enumerate() {
            let id = EndpointId(id as u32);
            let name = format!("endpoint-{}", id.0).into();
            let authority = addr.to_string().into();
            pool.observe(Fact::Joined(roadstead_core::Endpoint { id, name, authority }));
            pool.observe(Fact::Scraped { endpoint: id, state: EngineState::default() });
        }
        let lines = Lines::default();
        let log = AccessLog::to(Box::new(lines.clone()), true);
        let front = Front::new(pool.clone(), UpstreamPool::new(PoolLimits::default()), limits, log);
        let listener = Listener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let make_service = move |client| front.service(client);
        tokio::spawn(serve(listener, ServerLimits::default(), make_service, stop.clone()));
        tokio::spawn({
            let (pool, stop) = (pool.clone(), stop.clone());
            async move { pool.drive(stop).await }
        });
        Gateway { addr, pool, lines, stop }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.addr).await
    }

    /// Requests in flight by the machine's account.
    pub fn booked(&self) -> u32 {
        self.pool.view().endpoints.iter().map(|endpoint| endpoint.account.requests).sum()
    }

    /// Waits until nothing is in flight, and checks that nothing else is left of it.
    pub async fn settled(&self) {
        until(|| self.booked() == 0).await;
        let view = self.pool.view();
        assert_eq!(view.queued, 0);
        assert!(view.endpoints.iter().all(|endpoint| endpoint.account.is_empty()), "{view:?}");
    }

    /// Tells the machine what a scrape of an endpoint showed.
    pub fn observe(&self, fact: Fact) {
        self.pool.observe(fact);
    }

    /// The access-log lines, once there are `count`.
    pub async fn log(&self, count: usize) -> Vec<serde_json::Value> {
        until(|| self.lines.0.lock().iter().filter(|byte| **byte == b'\n').count() >= count).await;
        let text = String::from_utf8(self.lines.0.lock().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Limits under which nothing is waited for long.
pub fn hasty() -> Limits {
    Limits {
        queue_wait_max: Duration::from_millis(200),
        move_after: Duration::from_millis(50),
        ..Limits::default()
    }
}
