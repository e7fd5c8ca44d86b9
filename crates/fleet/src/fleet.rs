//! Owns the tasks that look at endpoints: starts them when an endpoint joins, ends them when it leaves.
//!
//! Always holds: two tasks an endpoint, both cancelled on leave and on drop, and awaited by [`Fleet::stop`].
//! Facts of an endpoint that left may still arrive once after its [`Fact::Left`]; ids are never reused, so the
//! picker passes over them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use roadstead_core::{Endpoint, EndpointId};
use roadstead_net::Upstream;
use roadstead_net::pool::BadAuthority;
use roadstead_picker::fact::Fact;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engines::{Engine, PageReader};
use crate::metrics::FleetMetrics;
use crate::models_poll::{ModelsPoll, SharedPage};
use crate::pace::Pace;
use crate::page_source::HttpSource;
use crate::scrape::Scraper;

/// Time from one scrape to the next, by default.
pub const SCRAPE_INTERVAL: Duration = Duration::from_millis(50);
/// Time from one look at the models to the next, by default.
pub const MODELS_INTERVAL: Duration = Duration::from_secs(1);
/// Largest metrics page, by default: 100 times vLLM's.
pub const PAGE_BYTES_MAX: usize = 8 << 20;
/// Largest models page, by default.
pub const MODELS_BYTES_MAX: usize = 4 << 20;
/// Shortest scrape interval that is taken; shorter ones become this.
pub const SCRAPE_INTERVAL_MIN: Duration = Duration::from_millis(5);
/// Shortest models interval that is taken.
pub const MODELS_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// First pause after an endpoint gave no models list.
const MODELS_FIRST_FAILURE: Duration = Duration::from_millis(100);

const METRICS_PATH: &str = "/metrics";
const METRICS_ACCEPT: &str = "text/plain;version=0.0.4";
const MODELS_PATH: &str = "/v1/models";
const MODELS_ACCEPT: &str = "application/json";

/// Takes facts, and takes the time itself. Called from the fleet's tasks and under its lock: it must be quick
/// and must not call the fleet.
pub trait FactSink: Send + Sync + 'static {
    /// Something was seen.
    fn observe(&self, fact: Fact);
}

impl<T: FactSink + ?Sized> FactSink for Arc<T> {
    fn observe(&self, fact: Fact) {
        (**self).observe(fact);
    }
}

/// How endpoints are looked at.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Time from one scrape to the next.
    pub scrape_interval: Duration,
    /// Time from one look at the models to the next.
    pub models_interval: Duration,
    /// Whose metric names to read.
    pub engine: Engine,
    /// Largest metrics page in bytes. Beyond: the scrape fails, is counted, and its connection is closed.
    pub page_bytes_max: usize,
    /// Largest models page in bytes. Beyond: the list counts as unknown.
    pub models_bytes_max: usize,
    /// Where to count.
    pub metrics: FleetMetrics,
}

/// The endpoints that are looked at. Dropping it ends all tasks; [`Fleet::stop`] also waits for them.
pub struct Fleet {
    config: FleetConfig,
    reader: Arc<PageReader>,
    sink: Arc<dyn FactSink>,
    members: Mutex<BTreeMap<EndpointId, Member>>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

struct Member {
    endpoint: Endpoint,
    cancel: CancellationToken,
    models: SharedPage,
}

impl Default for FleetConfig {
    fn default() -> FleetConfig {
        FleetConfig {
            scrape_interval: SCRAPE_INTERVAL,
            models_interval: MODELS_INTERVAL,
            engine: Engine::default(),
            page_bytes_max: PAGE_BYTES_MAX,
            models_bytes_max: MODELS_BYTES_MAX,
            metrics: FleetMetrics::default(),
        }
    }
}

impl Fleet {
    /// A fleet without endpoints. What it sees goes to `sink`.
    pub fn start(config: FleetConfig, sink: impl FactSink) -> Fleet {
        Fleet {
            reader: Arc::new(PageReader::new(&config.engine)),
            config,
            sink: Arc::new(sink),
            members: Mutex::default(),
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
        }
    }

    /// Reports the endpoint as joined and begins to look at it. One that is already here, or a fleet that has
    /// stopped, changes nothing. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BadAuthority`] when the endpoint's authority is not `host:port`; nothing was reported then.
    pub fn join(&self, endpoint: Endpoint) -> Result<(), BadAuthority> {
        let upstream = Upstream::new(endpoint.authority.clone())?;
        let mut members = self.members.lock();
        if self.cancel.is_cancelled() || members.contains_key(&endpoint.id) {
            return Ok(());
        }
        let member = Member {
            endpoint: endpoint.clone(),
            cancel: self.cancel.child_token(),
            models: SharedPage::default(),
        };
        // Reported under the lock, so that a leave at the same time is reported after it.
        self.sink.observe(Fact::Joined(endpoint));
        self.look_at(&member, &upstream);
        members.insert(member.endpoint.id, member);
        Ok(())
    }

    /// Ends looking at an endpoint and reports that it left. Unknown ids change nothing.
    pub fn leave(&self, id: EndpointId) {
        let mut members = self.members.lock();
        if let Some(member) = members.remove(&id) {
            member.cancel.cancel();
            self.sink.observe(Fact::Left(id));
        }
    }

    /// Reports that an endpoint takes no new work (`on`), or takes work again. Unknown ids change nothing.
    pub fn drain(&self, id: EndpointId, on: bool) {
        if self.members.lock().contains_key(&id) {
            self.sink.observe(Fact::Draining { endpoint: id, on });
        }
    }

    /// All endpoints, by id.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.members.lock().values().map(|member| member.endpoint.clone()).collect()
    }

    /// The last good `/v1/models` page of each endpoint that gave one, by id.
    pub fn models_json(&self) -> Vec<(EndpointId, Bytes)> {
        let members = self.members.lock();
        members.iter().filter_map(|(id, member)| Some((*id, member.models.lock().clone()?))).collect()
    }

    /// Ends all tasks and waits until they have ended. Reports nothing: the process is going away.
    pub async fn stop(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn look_at(&self, member: &Member, upstream: &Upstream) {
        let FleetConfig { page_bytes_max, models_bytes_max, .. } = self.config;
        let interval = self.config.scrape_interval.max(SCRAPE_INTERVAL_MIN);
        let scraper = Scraper {
            endpoint: member.endpoint.id,
            source: HttpSource::new(upstream.clone(), METRICS_PATH, METRICS_ACCEPT, page_bytes_max),
            reader: self.reader.clone(),
            sink: self.sink.clone(),
            metrics: self.config.metrics.clone(),
            pace: Pace::new(interval, interval),
            silent: false,
            load_only: 0,
        };
        let poll = ModelsPoll {
            endpoint: member.endpoint.id,
            source: HttpSource::new(upstream.clone(), MODELS_PATH, MODELS_ACCEPT, models_bytes_max),
            sink: self.sink.clone(),
            metrics: self.config.metrics.clone(),
            pace: Pace::new(self.config.models_interval.max(MODELS_INTERVAL_MIN), MODELS_FIRST_FAILURE),
            page: member.models.clone(),
            known: None,
        };
        let cancel = member.cancel.clone();
        self.tasks.spawn(async move { cancel.run_until_cancelled(scraper.run()).await });
        let cancel = member.cancel.clone();
        self.tasks.spawn(async move { cancel.run_until_cancelled(poll.run()).await });
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
