//! What we say of ourselves: logs, the access log, and metrics with bounded label sets.
//!
//! Everything here is called from the request's path and never blocks it: metric handles are looked up once
//! and held, the access log drops lines (and counts them) rather than wait for its reader. It must not know
//! what a pool, a request or a policy is; it takes plain names and numbers.

pub mod access_log;
mod bounded_names;
pub mod buckets;
mod digits;
mod inflight_metrics;
pub mod logs;
mod pool_metrics;
mod registry;
mod request_metrics;
mod scheduler_metrics;
mod timestamp;

pub use access_log::{AccessEntry, AccessLog};
pub use bounded_names::{BoundedNames, NAME_BYTES_MAX, NAMES_MAX, OTHER};
pub use inflight_metrics::{InflightHandles, InflightMetrics};
pub use logs::{LogError, LogFormat};
pub use pool_metrics::{EndpointReading, PoolMetrics};
pub use registry::{CONTENT_TYPE, MetricRegistry};
pub use request_metrics::{RequestHandles, RequestMetrics};
pub use scheduler_metrics::{Attempt, SchedulerMetrics};

/// The metric types that our registries hold, so that other crates need not name their library.
pub mod metric {
    pub use prometheus_client::metrics::counter::Counter;
    pub use prometheus_client::metrics::family::Family;
    pub use prometheus_client::metrics::gauge::Gauge;
    pub use prometheus_client::metrics::histogram::Histogram;
    pub use prometheus_client::registry::Registry;
}
