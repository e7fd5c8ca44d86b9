//! What happened to a request when, and what it used.

use roadstead_core::{Time, Usage};
use roadstead_telemetry::RequestHandles;

use super::asked::Asked;

/// A request's times on the pool's clock.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// It was offered to the picker.
    pub offered: Time,
    /// Its first dispatch.
    pub first_dispatched: Time,
    /// Its last dispatch.
    pub dispatched: Time,
    /// The first byte of the body that went to the client.
    pub first_byte: Option<Time>,
    /// The first output token of a stream.
    pub first_token: Option<Time>,
    /// The latest output of a stream.
    pub last_token: Time,
    /// The end, good or bad.
    pub ended: Option<Time>,
    /// Endpoints that it was sent to.
    pub attempts: u32,
    /// What it used; known at the end.
    pub usage: Usage,
}

impl Timeline {
    pub(crate) fn new(offered: Time, now: Time) -> Timeline {
        Timeline {
            offered,
            first_dispatched: now,
            dispatched: now,
            first_byte: None,
            first_token: None,
            last_token: now,
            ended: None,
            attempts: 0,
            usage: Usage::default(),
        }
    }

    /// Feeds the series of a request that was answered.
    pub(super) fn observe(&self, handles: &RequestHandles, asked: &Asked, response_bytes: u64) {
        let Some(ended) = self.ended else { return };
        let duration_s = ended.since(self.offered).as_secs_f64();
        handles.duration_seconds.observe(duration_s);
        handles.response_size_bytes.observe(response_bytes as f64);
        handles.input_tokens.observe(f64::from(self.usage.prompt_tokens.unwrap_or(asked.prompt_tokens)));
        if let Some(cached) = self.usage.cached_tokens {
            handles.cached_tokens.observe(f64::from(cached));
        }
        let first = self.first_token.or(self.first_byte);
        if let Some(first) = first {
            let ttft =
                if asked.stream { &handles.ttft_streaming_seconds } else { &handles.ttft_unary_seconds };
            ttft.observe(first.since(self.offered).as_secs_f64());
        }
        let Some(output) = self.usage.output_tokens.filter(|tokens| *tokens > 0) else { return };
        handles.output_tokens.observe(f64::from(output));
        handles.ntpot_seconds.observe(duration_s / f64::from(output));
        if let (Some(first), true) = (self.first_token, output > 1) {
            let decode_s = self.last_token.since(first).as_secs_f64();
            handles.streaming_tpot_seconds.observe(decode_s / f64::from(output - 1));
        }
    }
}
