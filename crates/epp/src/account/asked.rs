//! What a request asked for, as far as its account needs it.

use std::sync::Arc;

use roadstead_core::Refusal;
use roadstead_telemetry::{OTHER, RequestHandles};
use roadstead_wire::openai::Api;

use crate::metrics::EppMetrics;

/// What a request asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The API called.
    pub api: Api,
    /// The model as the client named it.
    pub model: Option<Arc<str>>,
    /// The model as the endpoint is asked for it.
    pub target: Option<Arc<str>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Its priority.
    pub priority: i32,
    /// Whose request it is.
    pub fairness: Arc<str>,
    /// Prompt tokens as estimated.
    pub prompt_tokens: u32,
    /// Size of the body, where it was read whole.
    pub request_bytes: usize,
}

impl Asked {
    /// The series of its labels; `None` for what is no inference.
    pub(super) fn handles(&self, metrics: &EppMetrics) -> Option<Arc<RequestHandles>> {
        self.api.is_inference().then(|| {
            let model = self.model.as_deref().unwrap_or_default();
            let target = self.target.as_deref().unwrap_or_default();
            metrics.requests.for_labels(model, target, &self.fairness, self.priority)
        })
    }

    /// Counts a request that got no place.
    pub(crate) fn refused(&self, metrics: &EppMetrics, refusal: Refusal) {
        if !self.api.is_inference() {
            return;
        }
        // A name that nobody serves is a client's text, not a model.
        let handles = match refusal {
            Refusal::UnknownModel => {
                Some(metrics.requests.for_labels(OTHER, OTHER, &self.fairness, self.priority))
            }
            _ => self.handles(metrics),
        };
        if let Some(handles) = handles {
            handles.total.inc();
            handles.error(refusal.status().code);
        }
    }
}
