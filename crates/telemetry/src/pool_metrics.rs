//! Gauges of a pool as a whole, set from one reading of its endpoints when the page is asked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What one endpoint last said of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointReading<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it takes work.
    pub ready: bool,
    /// Requests queued there; `None` where it never said.
    pub waiting: Option<u32>,
    /// Requests in its running batch.
    pub running: Option<u32>,
    /// Share of its KV cache in use, 0 to 1.
    pub kv_usage: Option<f32>,
}

/// The series of pools.
#[derive(Debug)]
pub struct PoolMetrics {
    average_kv: Family<PoolLabels, FloatGauge>,
    average_queue: Family<PoolLabels, FloatGauge>,
    average_running: Family<PoolLabels, FloatGauge>,
    std_dev_kv: Family<PoolLabels, FloatGauge>,
    std_dev_queue: Family<PoolLabels, FloatGauge>,
    std_dev_running: Family<PoolLabels, FloatGauge>,
    ready_endpoints: Family<PoolLabels, Gauge>,
    queue_size: Family<EndpointLabels, Gauge>,
    shown: Mutex<HashSet<EndpointLabels>>,
}

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    name: Arc<str>,
    model_server_endpoint: Arc<str>,
}

impl PoolMetrics {
    /// Registers the families under upstream's names.
    pub fn register(registry: &mut Registry) -> PoolMetrics {
        let metrics = PoolMetrics {
            average_kv: Family::default(),
            average_queue: Family::default(),
            average_running: Family::default(),
            std_dev_kv: Family::default(),
            std_dev_queue: Family::default(),
            std_dev_running: Family::default(),
            ready_endpoints: Family::default(),
            queue_size: Family::default(),
            shown: Mutex::default(),
        };
        let floats = [
            ("average_kv_cache_utilization", "Mean share of KV cache in use", &metrics.average_kv),
            ("average_queue_size", "Mean requests queued in an endpoint", &metrics.average_queue),
            ("average_running_requests", "Mean requests running in an endpoint", &metrics.average_running),
            ("std_dev_kv_cache_utilization", "Spread of the share of KV cache in use", &metrics.std_dev_kv),
            ("std_dev_queue_size", "Spread of the requests queued in an endpoint", &metrics.std_dev_queue),
            (
                "std_dev_running_requests",
                "Spread of the requests running in an endpoint",
                &metrics.std_dev_running,
            ),
        ];
        for (name, help, family) in floats {
            registry.register(name, help, family.clone());
        }
        registry.register("ready_endpoints", "Endpoints that take work", metrics.ready_endpoints.clone());
        registry.register(
            "per_endpoint_queue_size",
            "Requests queued in each endpoint",
            metrics.queue_size.clone(),
        );
        metrics
    }

    /// Sets everything of one pool. Endpoints that are no longer named lose their series.
    pub fn update(&self, pool: &str, endpoints: &[EndpointReading<'_>]) {
        let labels = PoolLabels { name: Arc::from(pool) };
        let set = |average: &Family<PoolLabels, FloatGauge>,
                   std_dev: &Family<PoolLabels, FloatGauge>,
                   values: Vec<f64>| {
            let (mean, spread) = mean_and_std_dev(&values);
            average.get_or_create(&labels).set(mean);
            std_dev.get_or_create(&labels).set(spread);
        };
        let readings = || endpoints.iter().filter(|endpoint| endpoint.ready);
        set(
            &self.average_kv,
            &self.std_dev_kv,
            readings().filter_map(|endpoint| endpoint.kv_usage.map(f64::from)).collect(),
        );
        set(
            &self.average_queue,
            &self.std_dev_queue,
            readings().filter_map(|endpoint| endpoint.waiting.map(f64::from)).collect(),
        );
        set(
            &self.average_running,
            &self.std_dev_running,
            readings().filter_map(|endpoint| endpoint.running.map(f64::from)).collect(),
        );
        self.ready_endpoints.get_or_create(&labels).set(readings().count() as i64);
        self.update_queues(&labels, endpoints);
    }

    fn update_queues(&self, pool: &PoolLabels, endpoints: &[EndpointReading<'_>]) {
        let mut shown = self.shown.lock();
        let mut gone: HashSet<EndpointLabels> =
            shown.iter().filter(|labels| labels.name == pool.name).cloned().collect();
        for endpoint in endpoints {
            let labels =
                EndpointLabels { name: pool.name.clone(), model_server_endpoint: Arc::from(endpoint.name) };
            if let Some(waiting) = endpoint.waiting {
                self.queue_size.get_or_create(&labels).set(i64::from(waiting));
                gone.remove(&labels);
                shown.insert(labels);
            }
        }
        for labels in gone {
            self.queue_size.remove(&labels);
            shown.remove(&labels);
        }
    }
}

/// Mean and population standard deviation; zeros of nothing.
fn mean_and_std_dev(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricRegistry;

    fn reading(name: &str, waiting: u32, kv_usage: f32) -> EndpointReading<'_> {
        EndpointReading {
            name,
            ready: true,
            waiting: Some(waiting),
            running: Some(1),
            kv_usage: Some(kv_usage),
        }
    }

    #[test]
    fn averages_spread_and_queues_show_and_endpoints_that_left_go() {
        let mut registry = MetricRegistry::new();
        let metrics = PoolMetrics::register(registry.upstream());
        let unready = EndpointReading { name: "c", ..EndpointReading::default() };
        metrics.update("pool", &[reading("a", 2, 0.25), reading("b", 4, 0.75), unready]);
        let page = registry.encode();
        for series in [
            r#"average_queue_size{name="pool"} 3.0"#,
            r#"std_dev_queue_size{name="pool"} 1.0"#,
            r#"average_kv_cache_utilization{name="pool"} 0.5"#,
            r#"average_running_requests{name="pool"} 1.0"#,
            r#"ready_endpoints{name="pool"} 2"#,
            r#"per_endpoint_queue_size{name="pool",model_server_endpoint="b"} 4"#,
        ] {
            assert!(page.contains(&format!("llm_d_epp_{series}\n")), "{series} in {page}");
        }

        metrics.update("pool", &[reading("a", 2, 0.25)]);

        assert!(!registry.encode().contains(r#"model_server_endpoint="b""#));
    }
}
