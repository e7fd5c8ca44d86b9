//! Gauges of our own account: what is in flight at each endpoint, by flow.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::bounded_names::BoundedNames;

/// Who keeps the account, as upstream names its producers.
const PRODUCER: &str = "inflight-load-producer";

/// The in-flight series.
#[derive(Debug)]
pub struct InflightMetrics {
    requests: Family<Labels, Gauge>,
    tokens: Family<Labels, Gauge>,
    fairness_ids: BoundedNames,
    held: Mutex<HashSet<Labels>>,
}

/// The gauges of one endpoint and flow.
#[derive(Clone, Debug)]
pub struct InflightHandles {
    /// Requests in flight.
    pub requests: Gauge,
    /// Tokens that they are expected to hold.
    pub tokens: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    endpoint_name: Arc<str>,
    namespace: Arc<str>,
    producer_name: &'static str,
    fairness_id: Arc<str>,
    priority: i32,
}

impl InflightMetrics {
    /// Registers the families under upstream's names.
    pub fn register(registry: &mut Registry) -> InflightMetrics {
        let metrics = InflightMetrics {
            requests: Family::default(),
            tokens: Family::default(),
            fairness_ids: BoundedNames::default(),
            held: Mutex::default(),
        };
        registry.register(
            "inflight_requests",
            "Requests in flight by our own account",
            metrics.requests.clone(),
        );
        registry.register("inflight_tokens", "Tokens in flight by our own account", metrics.tokens.clone());
        metrics
    }

    /// The gauges of an endpoint and a flow. Look them up once and hold them, or set them when the page is
    /// asked for; this takes a lock.
    pub fn for_flow(
        &self,
        endpoint: &str,
        namespace: &str,
        fairness_id: &str,
        priority: i32,
    ) -> InflightHandles {
        let labels = Labels {
            endpoint_name: Arc::from(endpoint),
            namespace: Arc::from(namespace),
            producer_name: PRODUCER,
            fairness_id: self.fairness_ids.admit(fairness_id),
            priority,
        };
        let handles = InflightHandles {
            requests: self.requests.get_or_create_owned(&labels),
            tokens: self.tokens.get_or_create_owned(&labels),
        };
        self.held.lock().insert(labels);
        handles
    }

    /// Drops the series of an endpoint that left.
    pub fn forget_endpoint(&self, endpoint: &str) {
        self.held.lock().retain(|labels| {
            let stays = &*labels.endpoint_name != endpoint;
            if !stays {
                self.requests.remove(labels);
                self.tokens.remove(labels);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricRegistry;

    #[test]
    fn an_endpoint_that_left_has_no_series() {
        let mut registry = MetricRegistry::new();
        let metrics = InflightMetrics::register(registry.upstream());
        metrics.for_flow("a", "ns", "tenant", 0).requests.set(3);
        metrics.for_flow("b", "ns", "tenant", 0).tokens.set(70);
        let page = registry.encode();
        assert!(page.contains(r#"llm_d_epp_inflight_requests{endpoint_name="a",namespace="ns",producer_name="inflight-load-producer",fairness_id="tenant",priority="0"} 3"#), "{page}");

        metrics.forget_endpoint("a");

        assert!(!registry.encode().contains(r#"endpoint_name="a""#));
        assert!(registry.encode().contains(r#"endpoint_name="b""#));
    }
}
