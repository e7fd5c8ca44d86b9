//! The series that the path of a request feeds: requests by model, and scheduling attempts.

use roadstead_telemetry::{MetricRegistry, RequestMetrics, SchedulerMetrics};

/// The metric families of this crate, registered once a process.
#[derive(Debug)]
pub struct EppMetrics {
    /// Inference requests, by model, target, fairness id and priority.
    pub requests: RequestMetrics,
    /// Scheduling attempts and their time.
    pub scheduler: SchedulerMetrics,
}

impl EppMetrics {
    /// Registers the families under upstream's names.
    pub fn register(registry: &mut MetricRegistry) -> EppMetrics {
        EppMetrics {
            requests: RequestMetrics::register(registry.upstream()),
            scheduler: SchedulerMetrics::register(registry.upstream()),
        }
    }
}
