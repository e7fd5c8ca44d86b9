//! The access-log line of one request, from its arrival to its end.
//!
//! Made when the head has arrived, dropped when the last byte has gone or the client has: that is when the line
//! is written, whatever happened. It owns the exchange, so that the account ends with it.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, Method, Uri};
use roadstead_core::{Refusal, Time};
use roadstead_epp::Exchange;
use roadstead_telemetry::AccessEntry;

use crate::service::Front;

/// One request, for the log.
pub(crate) struct Record {
    front: Arc<Front>,
    arrived: Time,
    method: Method,
    uri: Uri,
    pub(crate) request_id: HeaderValue,
    model: Option<Arc<str>>,
    status: u16,
    error: &'static str,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) exchange: Option<Exchange>,
}

impl Record {
    /// A request that has just arrived.
    pub(crate) fn begin(
        front: &Arc<Front>,
        method: &Method,
        uri: &Uri,
        request_id: HeaderValue,
    ) -> Box<Record> {
        Box::new(Record {
            front: front.clone(),
            arrived: front.pool.now(),
            method: method.clone(),
            uri: uri.clone(),
            request_id,
            model: None,
            // What it is if the client leaves before it is answered.
            status: Refusal::ClientGone.status().http,
            error: Refusal::ClientGone.status().code,
            bytes_in: 0,
            bytes_out: 0,
            exchange: None,
        })
    }

    /// The model that the client asked for.
    pub(crate) fn asks_for(&mut self, model: &Option<Arc<str>>) {
        self.model.clone_from(model);
    }

    /// The model that the client asked for.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The client gets `status`, and all of the answer unless something else is said.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
        self.error = "";
    }

    /// The client gets a refusal.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        self.status = refusal.status().http;
        self.error = refusal.status().code;
    }

    /// The answer did not end as it should.
    pub(crate) fn broke(&mut self, error: &'static str) {
        self.error = error;
    }

    fn write(&self) {
        let ended = self.exchange.as_ref().and_then(|exchange| exchange.timeline().ended);
        let now = ended.unwrap_or_else(|| self.front.pool.now());
        let arrived = SystemTime::now() - now.since(self.arrived);
        let ms = |from: Time, to: Time| to.since(from).as_secs_f64() * 1e3;
        let mut entry = AccessEntry {
            time: arrived,
            request_id: self.request_id.to_str().unwrap_or_default(),
            method: self.method.as_str(),
            path: self.uri.path(),
            model: self.model.as_deref().unwrap_or_default(),
            status: self.status,
            duration_ms: ms(self.arrived, now),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            error: self.error,
            ..AccessEntry::default()
        };
        let explained;
        if let Some(exchange) = &self.exchange {
            let timeline = exchange.timeline();
            let usage = timeline.usage;
            let estimated = exchange.asked().prompt_tokens;
            entry.target_model = exchange.asked().target.as_deref().unwrap_or_default();
            entry.endpoint = &exchange.endpoint().name;
            entry.ttft_ms = timeline.first_byte.map(|first| ms(self.arrived, first));
            entry.prompt_tokens = usage.prompt_tokens.or((estimated > 0).then_some(estimated));
            entry.cached_tokens = usage.cached_tokens;
            entry.output_tokens =
                usage.output_tokens.or((exchange.tokens() > 0).then_some(exchange.tokens()));
            entry.queue_ms = ms(timeline.offered, timeline.first_dispatched);
            entry.attempts = timeline.attempts;
            entry.why = self.front.pool.policy();
            if let Some(why) = exchange.why() {
                explained = roadstead_epp::explain::header_value(why);
                entry.why = explained.to_str().unwrap_or_default();
            }
        }
        self.front.log.write(&entry);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.front.log.enabled() {
            self.write();
        }
    }
}
