//! Metrics of picking: how long it takes, how often, where to; and which build we are.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::bounded_names::BoundedNames;
use crate::buckets;

/// One attempt to schedule a request.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// `success` or `failure`.
    pub status: &'static str,
    /// The model asked of the endpoint.
    pub target_model: &'a str,
    /// The endpoint's name; empty when none was found.
    pub endpoint: &'a str,
    /// Its namespace; empty outside Kubernetes.
    pub namespace: &'a str,
    /// Its port; empty when none was found.
    pub port: &'a str,
}

/// The series of the scheduler.
#[derive(Debug)]
pub struct SchedulerMetrics {
    e2e_seconds: Histogram,
    attempts: Family<AttemptLabels, Counter>,
    held: RwLock<HashMap<AttemptLabels, Counter>>,
    target_models: BoundedNames,
    info: Family<InfoLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    status: &'static str,
    target_model_name: Arc<str>,
    endpoint_name: Arc<str>,
    namespace: Arc<str>,
    port: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InfoLabels {
    commit: &'static str,
    build_ref: &'static str,
}

impl SchedulerMetrics {
    /// Registers the families under upstream's names.
    pub fn register(registry: &mut Registry) -> SchedulerMetrics {
        let metrics = SchedulerMetrics {
            e2e_seconds: Histogram::new(buckets::SCHEDULER_SECONDS.iter().copied()),
            attempts: Family::default(),
            held: RwLock::default(),
            target_models: BoundedNames::default(),
            info: Family::default(),
        };
        registry.register(
            "scheduler_e2e_duration_seconds",
            "Time to pick, waiting in the queue left out",
            metrics.e2e_seconds.clone(),
        );
        registry.register("scheduler_attempts", "Scheduling attempts", metrics.attempts.clone());
        registry.register("info", "The running build", metrics.info.clone());
        metrics
    }

    /// One pick took this long.
    pub fn picked_in(&self, duration: Duration) {
        self.e2e_seconds.observe(duration.as_secs_f64());
    }

    /// Counts an attempt. Endpoint, namespace and port must come from the pool, never from a client.
    pub fn attempt(&self, attempt: &Attempt<'_>) {
        if let Some(counter) = self.held.read().get(attempt) {
            counter.inc();
            return;
        }
        let labels = AttemptLabels {
            status: attempt.status,
            target_model_name: self.target_models.admit(attempt.target_model),
            endpoint_name: Arc::from(attempt.endpoint),
            namespace: Arc::from(attempt.namespace),
            port: Arc::from(attempt.port),
        };
        let counter = self.attempts.get_or_create_owned(&labels);
        counter.inc();
        self.held.write().insert(labels, counter);
    }

    /// Drops the series of an endpoint that left.
    pub fn forget_endpoint(&self, endpoint: &str) {
        self.held.write().retain(|labels, _| {
            let stays = &*labels.endpoint_name != endpoint;
            if !stays {
                self.attempts.remove(labels);
            }
            stays
        });
    }

    /// Says which build runs.
    pub fn set_build(&self, commit: &'static str, build_ref: &'static str) {
        self.info.get_or_create(&InfoLabels { commit, build_ref }).set(1);
    }
}

impl Hash for Attempt<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.status.hash(state);
        self.target_model.hash(state);
        self.endpoint.hash(state);
        self.namespace.hash(state);
        self.port.hash(state);
    }
}

impl Equivalent<AttemptLabels> for Attempt<'_> {
    fn equivalent(&self, labels: &AttemptLabels) -> bool {
        self.status == labels.status
            && self.target_model == &*labels.target_model_name
            && self.endpoint == &*labels.endpoint_name
            && self.namespace == &*labels.namespace
            && self.port == &*labels.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricRegistry;

    fn attempt(endpoint: &str) -> Attempt<'_> {
        Attempt { status: "success", target_model: "m", endpoint, namespace: "", port: "8000" }
    }

    #[test]
    fn an_endpoint_that_left_has_no_series() {
        let mut registry = MetricRegistry::new();
        let metrics = SchedulerMetrics::register(registry.upstream());
        metrics.attempt(&attempt("a"));
        metrics.attempt(&attempt("a"));
        metrics.attempt(&attempt("b"));
        let series = r#"scheduler_attempts_total{status="success",target_model_name="m",endpoint_name="a",namespace="",port="8000"} 2"#;
        assert!(registry.encode().contains(series), "{}", registry.encode());

        metrics.forget_endpoint("a");

        assert!(!registry.encode().contains(r#"endpoint_name="a""#));
        assert!(registry.encode().contains(r#"endpoint_name="b""#));
    }
}
