//! The gateway put together: endpoints looked at, a machine that picks, the HTTP front, the admin port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use roadstead_core::{Endpoint, EndpointId};
use roadstead_epp::{EppMetrics, PoolHandle};
use roadstead_fleet::{Fleet, FleetConfig, FleetMetrics};
use roadstead_net::{Drained, Listener, PoolLimits, ServerLimits, UpstreamPool, serve};
use roadstead_picker::{Limits, Machine, Policy};
use roadstead_proxy::{Front, ProxyLimits};
use roadstead_telemetry::{AccessLog, LogFormat, MetricRegistry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::cli::{GatewayArgs, OnOff};
use crate::ports;

const PORT: u16 = 8080;
const ADMIN_PORT: u16 = 9090;
const MIB: usize = 1 << 20;
/// How long the access log may take to write out its rest at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Checked configuration.
pub struct GatewayConfig {
    policy: Policy,
    limits: Limits,
    proxy: ProxyLimits,
    server: ServerLimits,
    fleet: FleetConfig,
    access_log: AccessLog,
}

/// A running gateway.
pub struct Gateway {
    address: SocketAddr,
    admin_address: SocketAddr,
    pool: PoolHandle,
    fleet: Arc<Fleet>,
    access_log: AccessLog,
    front: JoinHandle<Drained>,
    admin: JoinHandle<Drained>,
    driver: JoinHandle<()>,
    accepting: CancellationToken,
    running: CancellationToken,
}

impl GatewayConfig {
    /// Checks what was typed. `log_requests` is what holds where the access log was not mentioned.
    ///
    /// # Errors
    /// A value makes no sense.
    pub fn of(args: &GatewayArgs, log_requests: bool) -> anyhow::Result<GatewayConfig> {
        let policy =
            Policy::by_name(&args.policy).with_context(|| format!("no policy is called {}", args.policy))?;
        let queue_wait_max = Duration::from_secs(args.queue_wait_s);
        let on = args.access_log.map_or(log_requests, |wanted| wanted == OnOff::On);
        Ok(GatewayConfig {
            policy,
            limits: Limits { queue_wait_max, ..Limits::default() },
            proxy: ProxyLimits {
                body_bytes_max: args.body_max_mib as usize * MIB,
                answer_timeout: Duration::from_secs(args.answer_timeout_s),
                ..ProxyLimits::default()
            },
            server: ServerLimits {
                drain_grace: Duration::from_secs(args.drain_s),
                ..ServerLimits::default()
            },
            fleet: FleetConfig {
                scrape_interval: Duration::from_millis(args.scrape_interval_ms),
                ..FleetConfig::default()
            },
            access_log: if on { AccessLog::stdout(LogFormat::Auto) } else { AccessLog::disabled() },
        })
    }
}

/// The listeners of a gateway: what can fail before anything runs.
pub struct Listeners {
    front: Listener,
    admin: Listener,
}

impl Listeners {
    /// Opens them.
    ///
    /// # Errors
    /// A port that was asked for is taken.
    pub fn open(args: &GatewayArgs) -> anyhow::Result<Listeners> {
        let loopback = std::net::Ipv4Addr::LOCALHOST.into();
        Ok(Listeners {
            front: ports::listen("gateway", args.host, args.port, PORT)?,
            admin: ports::listen("admin port", loopback, args.admin_port, ADMIN_PORT)?,
        })
    }
}

impl Gateway {
    /// Starts a gateway before the endpoints at `authorities`.
    ///
    /// # Errors
    /// An authority is not `host:port`.
    pub fn start(
        mut config: GatewayConfig,
        listeners: Listeners,
        authorities: &[String],
    ) -> anyhow::Result<Gateway> {
        let mut registry = MetricRegistry::new();
        config.fleet.metrics = FleetMetrics::register(&mut registry);
        config.access_log.register(registry.own());
        let machine = Machine::new(config.policy, config.limits, seed());
        let pool = PoolHandle::new(machine, EppMetrics::register(&mut registry));
        let fleet = Arc::new(Fleet::start(config.fleet, pool.clone()));
        for (number, authority) in authorities.iter().enumerate() {
            let endpoint = Endpoint {
                id: EndpointId(u32::try_from(number).context("too many endpoints")?),
                name: authority.as_str().into(),
                authority: authority.as_str().into(),
            };
            fleet.join(endpoint).with_context(|| format!("bad address {authority}"))?;
        }

        let (accepting, running) = (CancellationToken::new(), CancellationToken::new());
        let address = listeners.front.local_addr()?;
        let admin_address = listeners.admin.local_addr()?;
        let upstreams = UpstreamPool::new(PoolLimits::default());
        let front = Front::new(pool.clone(), upstreams, config.proxy, config.access_log.clone());
        let serving =
            serve(listeners.front, config.server, move |client| front.service(client), accepting.clone());
        let admin = Admin::new(pool.clone(), fleet.clone(), registry, accepting.clone());
        let driver = {
            let (pool, stop) = (pool.clone(), running.clone());
            tokio::spawn(async move { pool.drive(stop).await })
        };
        Ok(Gateway {
            address,
            admin_address,
            pool,
            fleet,
            access_log: config.access_log,
            front: tokio::spawn(serving),
            admin: tokio::spawn(admin.serve(listeners.admin, running.clone())),
            driver,
            accepting,
            running,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin port listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Its pool.
    pub fn pool(&self) -> &PoolHandle {
        &self.pool
    }

    /// Stops accepting, lets running exchanges finish, then ends everything else.
    ///
    /// # Errors
    /// A task of ours panicked.
    pub async fn drain(self) -> anyhow::Result<()> {
        self.accepting.cancel();
        let drained = self.front.await.context("the front ended badly")?;
        if drained.cut > 0 {
            tracing::warn!(connections = drained.cut, "cut what had not finished within the drain time");
        }
        self.running.cancel();
        self.fleet.stop().await;
        self.admin.await.context("the admin port ended badly")?;
        self.driver.await.context("the pool's timer ended badly")?;
        if !self.access_log.finish(LOG_PATIENCE) {
            tracing::warn!("the access log could not be written out");
        }
        Ok(())
    }
}

/// Picks differ from process to process only where they are ties.
fn seed() -> u64 {
    u64::from(std::process::id())
}
