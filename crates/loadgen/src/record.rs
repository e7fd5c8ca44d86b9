//! What is known of one finished request.
//!
//! Pure values. Times are milliseconds; the names without suffix count from the intended start, those ending in
//! `_from_send` from the moment the generator really began to send.

use crate::client::Answer;
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// No connection.
    Connect,
    /// The connection ended before the answer began, or was reset.
    Reset,
    /// No complete answer within the time limit.
    Timeout,
    /// An answer with another status than 200.
    Status(u16),
    /// A stream that ended without its end mark.
    Truncated,
    /// Not HTTP, not an event stream, or not an answer in JSON.
    Malformed,
    /// An error event inside a stream.
    StreamError,
    /// Not sent: too many requests were in flight in the generator.
    NotSent,
    /// The generator was stopped while it waited for the answer.
    Stopped,
}

/// What a request was, before it was sent.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// Stage of the run, from 0.
    pub stage: u32,
    /// Number within the stage; with sessions the number of the session in its upper 32 bits, the turn in the lower.
    pub index: u64,
    /// Session, where there are sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// Turn of the session, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<u32>,
    /// Prefix group, where there are groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Model name.
    #[serde(serialize_with = "model_name")]
    pub model: Arc<str>,
    /// Index of the target.
    pub target: u32,
    /// Whether the summary leaves it out.
    pub warmup: bool,
    /// Tokens of the prompt as generated.
    pub input_tokens: u32,
    /// `max_tokens`.
    pub max_tokens: u32,
}

/// One finished request.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// What was asked.
    #[serde(flatten)]
    pub asked: Asked,
    /// Intended start, seconds from the start of the stage.
    pub intended_s: f64,
    /// Actual start, seconds from the start of the stage.
    pub sent_s: f64,
    /// Actual minus intended start.
    pub lag_ms: f64,
    /// End of the answer or failure, seconds from the start of the stage.
    pub end_s: f64,
    /// Why it failed; nothing when it succeeded.
    pub error: Option<ErrorClass>,
    /// What the server said about the failure, cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// HTTP status, if one came.
    pub status: Option<u16>,
    /// Endpoint that served it, if a response header told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Data events with text.
    pub events: u32,
    /// Tokens of the answer: the server's count, else the number of events.
    pub output_tokens: u32,
    /// Tokens of the prompt by the server's count.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the prompt found in the prefix cache, by the server's count.
    pub cached_tokens: Option<u32>,
    /// Time to first token.
    pub ttft_ms: Option<f64>,
    /// The same from the actual send.
    pub ttft_from_send_ms: Option<f64>,
    /// Mean time per output token after the first.
    pub tpot_ms: Option<f64>,
    /// End to end time per output token.
    pub ntpot_ms: Option<f64>,
    /// The same from the actual send.
    pub ntpot_from_send_ms: Option<f64>,
    /// End to end time.
    pub e2e_ms: f64,
    /// The same from the actual send.
    pub e2e_from_send_ms: f64,
    /// Longest gap between two events with text.
    pub itl_max_ms: Option<f64>,
    /// All gaps between events with text, microseconds.
    #[serde(skip)]
    pub gaps_us: Vec<u32>,
}

impl ErrorClass {
    /// Name in reports.
    pub fn name(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Timeout => f.write_str("timeout"),
            Self::Status(code) => write!(f, "status_{code}"),
            Self::Truncated => f.write_str("truncated"),
            Self::Malformed => f.write_str("malformed"),
            Self::StreamError => f.write_str("stream_error"),
            Self::NotSent => f.write_str("not_sent"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl Serialize for ErrorClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Record {
    /// Joins what was asked with what came; `start` is the start of the stage.
    pub(crate) fn new(asked: Asked, start: Instant, intended: Instant, answer: Answer) -> Self {
        let since = |at: Instant| at.saturating_duration_since(start).as_secs_f64();
        let from = |begin: Instant, at: Instant| ms(at.saturating_duration_since(begin));
        let output_tokens = answer.usage.map_or(answer.events, |usage| usage.completion_tokens);
        let per_token = |total: f64| (output_tokens > 0).then(|| total / f64::from(output_tokens));
        let (e2e_ms, e2e_from_send_ms) = (from(intended, answer.end_at), from(answer.sent_at, answer.end_at));
        let tpot_ms = match (answer.first_at, answer.last_at) {
            (Some(first), Some(last)) if output_tokens > 1 => {
                Some(from(first, last) / f64::from(output_tokens - 1))
            }
            _ => None,
        };
        Self {
            intended_s: since(intended),
            sent_s: since(answer.sent_at),
            lag_ms: from(intended, answer.sent_at),
            end_s: since(answer.end_at),
            error: answer.error,
            message: answer.message,
            status: answer.status,
            endpoint: answer.endpoint,
            events: answer.events,
            output_tokens,
            prompt_tokens: answer.usage.map(|usage| usage.prompt_tokens),
            cached_tokens: answer.usage.and_then(|usage| usage.cached_tokens),
            ttft_ms: answer.first_at.map(|at| from(intended, at)),
            ttft_from_send_ms: answer.first_at.map(|at| from(answer.sent_at, at)),
            tpot_ms,
            ntpot_ms: per_token(e2e_ms),
            ntpot_from_send_ms: per_token(e2e_from_send_ms),
            e2e_ms,
            e2e_from_send_ms,
            itl_max_ms: answer.gaps_us.iter().max().map(|gap| f64::from(*gap) / 1e3),
            gaps_us: answer.gaps_us,
            asked,
        }
    }
}

fn model_name<S: Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
