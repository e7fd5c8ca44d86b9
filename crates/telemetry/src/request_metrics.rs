//! Metrics of inference requests, by model, target model, fairness id and priority.
//!
//! A request asks once for the handles of its labels and then only touches atomics. The number of label sets
//! is bounded, so no client can grow them; names should still be resolved models, not whatever was typed.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::bounded_names::{BoundedNames, OTHER};
use crate::buckets;

/// Most label sets kept; requests beyond it are counted under `other` everywhere with priority 0.
pub const LABEL_SETS_MAX: usize = 1000;

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The series of all requests.
#[derive(Debug)]
pub struct RequestMetrics {
    families: Families,
    models: BoundedNames,
    targets: BoundedNames,
    fairness_ids: BoundedNames,
    sets: RwLock<HashMap<Labels, Arc<RequestHandles>>>,
}

/// The series of one label set. Touching a field costs a few nanoseconds.
#[derive(Debug)]
pub struct RequestHandles {
    /// Requests admitted.
    pub total: Counter,
    /// From arrival to the last byte, in seconds.
    pub duration_seconds: Histogram,
    /// Request body, in bytes.
    pub request_size_bytes: Histogram,
    /// Response body, in bytes.
    pub response_size_bytes: Histogram,
    /// Prompt tokens.
    pub input_tokens: Histogram,
    /// Prompt tokens served from the endpoint's prefix cache.
    pub cached_tokens: Histogram,
    /// Tokens generated.
    pub output_tokens: Histogram,
    /// Requests now at an endpoint.
    pub running: Gauge,
    /// Duration over output tokens, in seconds.
    pub ntpot_seconds: Histogram,
    /// Time to first byte of unary answers, in seconds.
    pub ttft_unary_seconds: Histogram,
    /// Time to first token of streams, in seconds.
    pub ttft_streaming_seconds: Histogram,
    /// Mean time per output token of a stream after the first, in seconds.
    pub streaming_tpot_seconds: Histogram,
    /// Time between chunks of a stream, in seconds.
    pub streaming_itl_seconds: Histogram,
    labels: Labels,
    errors: Family<ErrorLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    model_name: Arc<str>,
    target_model_name: Arc<str>,
    fairness_id: Arc<str>,
    priority: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    #[prometheus(flatten)]
    request: Labels,
    error_code: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TtftLabels {
    #[prometheus(flatten)]
    request: Labels,
    streaming: bool,
}

/// A label set as the caller holds it. Hashes as [`Labels`] does: strings and `Arc<str>` hash alike.
struct Query<'a> {
    model: &'a str,
    target: &'a str,
    fairness: &'a str,
    priority: i32,
}

#[derive(Debug)]
struct Families {
    total: Family<Labels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    duration_seconds: Histograms<Labels>,
    request_size_bytes: Histograms<Labels>,
    response_size_bytes: Histograms<Labels>,
    input_tokens: Histograms<Labels>,
    cached_tokens: Histograms<Labels>,
    output_tokens: Histograms<Labels>,
    running: Family<Labels, Gauge>,
    ntpot_seconds: Histograms<Labels>,
    ttft_seconds: Histograms<TtftLabels>,
    streaming_tpot_seconds: Histograms<Labels>,
    streaming_itl_seconds: Histograms<Labels>,
}

impl RequestMetrics {
    /// Registers the families under upstream's names.
    pub fn register(registry: &mut Registry) -> RequestMetrics {
        RequestMetrics {
            families: Families::register(registry),
            models: BoundedNames::default(),
            targets: BoundedNames::default(),
            fairness_ids: BoundedNames::default(),
            sets: RwLock::default(),
        }
    }

    /// The handles of one label set, made when first asked for. Hold them for the length of a request.
    pub fn for_labels(
        &self,
        model: &str,
        target: &str,
        fairness: &str,
        priority: i32,
    ) -> Arc<RequestHandles> {
        let asked = Query { model, target, fairness, priority };
        if let Some(handles) = self.sets.read().get(&asked) {
            return handles.clone();
        }
        let labels = Labels {
            model_name: self.models.admit(model),
            target_model_name: self.targets.admit(target),
            fairness_id: self.fairness_ids.admit(fairness),
            priority,
        };
        let mut sets = self.sets.write();
        if let Some(handles) = sets.get(&labels) {
            return handles.clone();
        }
        let labels = if sets.len() < LABEL_SETS_MAX { labels } else { Labels::overflow() };
        sets.entry(labels.clone()).or_insert_with(|| Arc::new(self.families.handles(labels))).clone()
    }
}

impl RequestHandles {
    /// Counts an error answer. `code` is one of ours (`error.code` of the outcome table or a status), never
    /// a client's or an endpoint's text.
    pub fn error(&self, code: &str) {
        let labels = ErrorLabels { request: self.labels.clone(), error_code: Arc::from(code) };
        self.errors.get_or_create(&labels).inc();
    }
}

impl Labels {
    fn overflow() -> Labels {
        let other: Arc<str> = Arc::from(OTHER);
        Labels {
            model_name: other.clone(),
            target_model_name: other.clone(),
            fairness_id: other,
            priority: 0,
        }
    }
}

impl Hash for Query<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.model.hash(state);
        self.target.hash(state);
        self.fairness.hash(state);
        self.priority.hash(state);
    }
}

impl Equivalent<Labels> for Query<'_> {
    fn equivalent(&self, labels: &Labels) -> bool {
        self.priority == labels.priority
            && self.model == &*labels.model_name
            && self.target == &*labels.target_model_name
            && self.fairness == &*labels.fairness_id
    }
}

impl Families {
    fn register(registry: &mut Registry) -> Families {
        use buckets as b;
        let families = Families {
            total: Family::default(),
            errors: Family::default(),
            duration_seconds: histograms(|| Histogram::new(b::GENERAL_SECONDS.iter().copied())),
            request_size_bytes: histograms(|| Histogram::new(b::REQUEST_BYTES.iter().copied())),
            response_size_bytes: histograms(|| Histogram::new(b::RESPONSE_BYTES.iter().copied())),
            input_tokens: histograms(|| Histogram::new(b::PROMPT_TOKENS.iter().copied())),
            cached_tokens: histograms(|| Histogram::new(b::PROMPT_TOKENS.iter().copied())),
            output_tokens: histograms(|| Histogram::new(b::OUTPUT_TOKENS.iter().copied())),
            running: Family::default(),
            ntpot_seconds: histograms(|| Histogram::new(b::NTPOT_SECONDS.iter().copied())),
            ttft_seconds: histograms(|| Histogram::new(b::TTFT_SECONDS.iter().copied())),
            streaming_tpot_seconds: histograms(|| Histogram::new(b::TPOT_SECONDS.iter().copied())),
            streaming_itl_seconds: histograms(|| Histogram::new(b::ITL_SECONDS.iter().copied())),
        };
        let f = &families;
        registry.register("request", "Inference requests", f.total.clone());
        registry.register("request_error", "Inference requests that ended in an error", f.errors.clone());
        registry.register(
            "request_duration_seconds",
            "From arrival to the last byte of the answer",
            f.duration_seconds.clone(),
        );
        registry.register("request_size_bytes", "Size of request bodies", f.request_size_bytes.clone());
        registry.register("response_size_bytes", "Size of response bodies", f.response_size_bytes.clone());
        registry.register("request_input_tokens", "Prompt tokens", f.input_tokens.clone());
        registry.register(
            "request_cached_tokens",
            "Prompt tokens served from the endpoint's prefix cache",
            f.cached_tokens.clone(),
        );
        registry.register("request_output_tokens", "Tokens generated", f.output_tokens.clone());
        registry.register("request_running", "Requests now at an endpoint", f.running.clone());
        registry.register(
            "request_ntpot_seconds",
            "Request duration over output tokens",
            f.ntpot_seconds.clone(),
        );
        registry.register("request_ttft_seconds", "Time to first token", f.ttft_seconds.clone());
        registry.register(
            "request_streaming_tpot_seconds",
            "Mean time per output token of a stream after the first",
            f.streaming_tpot_seconds.clone(),
        );
        registry.register(
            "request_streaming_itl_seconds",
            "Time between two chunks of a stream",
            f.streaming_itl_seconds.clone(),
        );
        families
    }

    fn handles(&self, labels: Labels) -> RequestHandles {
        let ttft = |streaming| {
            self.ttft_seconds.get_or_create_owned(&TtftLabels { request: labels.clone(), streaming })
        };
        RequestHandles {
            total: self.total.get_or_create_owned(&labels),
            duration_seconds: self.duration_seconds.get_or_create_owned(&labels),
            request_size_bytes: self.request_size_bytes.get_or_create_owned(&labels),
            response_size_bytes: self.response_size_bytes.get_or_create_owned(&labels),
            input_tokens: self.input_tokens.get_or_create_owned(&labels),
            cached_tokens: self.cached_tokens.get_or_create_owned(&labels),
            output_tokens: self.output_tokens.get_or_create_owned(&labels),
            running: self.running.get_or_create_owned(&labels),
            ntpot_seconds: self.ntpot_seconds.get_or_create_owned(&labels),
            ttft_unary_seconds: ttft(false),
            ttft_streaming_seconds: ttft(true),
            streaming_tpot_seconds: self.streaming_tpot_seconds.get_or_create_owned(&labels),
            streaming_itl_seconds: self.streaming_itl_seconds.get_or_create_owned(&labels),
            errors: self.errors.clone(),
            labels,
        }
    }
}

fn histograms<L: Clone + Eq + Hash>(make: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(make)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricRegistry;

    fn metrics() -> (MetricRegistry, RequestMetrics) {
        let mut registry = MetricRegistry::new();
        let metrics = RequestMetrics::register(registry.upstream());
        (registry, metrics)
    }

    #[test]
    fn the_same_labels_give_the_same_handles() {
        let (_, metrics) = metrics();
        let first = metrics.for_labels("chat", "llama", "tenant-a", 1);
        assert!(Arc::ptr_eq(&first, &metrics.for_labels("chat", "llama", "tenant-a", 1)));
        assert!(!Arc::ptr_eq(&first, &metrics.for_labels("chat", "llama", "tenant-a", 2)));
    }

    #[test]
    fn label_sets_beyond_the_bound_share_one() {
        let (_, metrics) = metrics();
        for priority in 0..LABEL_SETS_MAX as i32 {
            metrics.for_labels("m", "m", "f", priority);
        }
        let one = metrics.for_labels("m", "m", "f", 5000);
        let another = metrics.for_labels("n", "n", "g", 6000);
        assert!(Arc::ptr_eq(&one, &another));
        assert_eq!(&*one.labels.model_name, OTHER);
        assert_eq!(metrics.sets.read().len(), LABEL_SETS_MAX + 1);
    }

    #[test]
    fn names_beyond_the_bound_are_counted_as_other() {
        let (registry, metrics) = metrics();
        metrics.for_labels(&"x".repeat(10_000), "t", "f", 0).total.inc();
        metrics.for_labels(&"y".repeat(10_000), "t", "f", 0).total.inc();
        let page = registry.encode();
        let series = r#"llm_d_epp_request_total{model_name="other",target_model_name="t",fairness_id="f",priority="0"} 2"#;
        assert!(page.contains(series), "{page}");
    }

    #[test]
    fn errors_carry_their_code() {
        let (registry, metrics) = metrics();
        metrics.for_labels("m", "t", "f", 0).error("queue_full");
        assert!(registry.encode().contains(
            r#"llm_d_epp_request_error_total{model_name="m",target_model_name="t",fairness_id="f",priority="0",error_code="queue_full"} 1"#
        ));
    }
}
