//! A checked plan: what is sent, where, and when.
//!
//! Made once from the command line by `BenchArgs::into_plan`; nothing behind it reads strings. A plan is data: it knows
//! no socket and no clock.

pub use crate::arrivals::Process;
pub use crate::body::Api;
pub use crate::lengths::{LengthLaw, ThinkLaw};
pub use crate::prompts::{Groups, PromptFile, Prompts};
use http::{HeaderMap, HeaderName};
use serde::{Serialize, Serializer};
use std::path::PathBuf;
use std::time::Duration;

/// The most requests that one stage may schedule.
pub const REQUESTS_MAX: u64 = 10_000_000;
/// The most stages of a run.
pub const STAGES_MAX: usize = 1000;

/// What one run does.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Servers; requests go round robin over them.
    pub(crate) targets: Vec<Target>,
    /// Model names with their shares; empty: the first model that the first target lists.
    pub(crate) models: Vec<Model>,
    pub(crate) api: Api,
    pub(crate) stream: bool,
    pub(crate) ignore_eos: bool,
    /// Inside of a JSON object that is added to every body.
    pub(crate) extra_body: String,
    #[serde(serialize_with = "header_names")]
    pub(crate) headers: HeaderMap,
    pub(crate) prompts: Prompts,
    /// Answer tokens where the source of prompts does not say.
    pub(crate) output: LengthLaw,
    pub(crate) load: Load,
    pub(crate) warmup: Duration,
    pub(crate) pause: Duration,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) seed: u64,
    /// One JSON line per request goes there.
    pub(crate) records: Option<PathBuf>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// `host:port` as given; also the `host` header.
    pub authority: String,
    /// Path that stands before `/v1`, without a slash at its end.
    pub base_path: String,
}

/// A model or adapter with its share of the requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    /// Name that is sent.
    pub name: String,
    /// Share, relative to the others.
    pub weight: f64,
}

/// How requests are timed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// At precomputed times, whatever the server does.
    Open {
        /// Law of the gaps.
        process: Process,
        /// One row each.
        stages: Vec<OpenStage>,
    },
    /// A fixed number of requests in flight.
    Closed {
        /// One row each.
        stages: Vec<ClosedStage>,
    },
    /// Multi-turn conversations.
    Sessions(Box<Sessions>),
    /// As the Latency Profile Generator does it.
    Lpg(Lpg),
}

/// One offered rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OpenStage {
    /// Requests per second.
    pub rate: f64,
    /// Requests in all.
    pub requests: u64,
    /// Time over which they are spread.
    pub span: Duration,
}

/// One number of requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClosedStage {
    /// Requests in flight.
    pub concurrency: u32,
    /// No new request after this time.
    pub span: Option<Duration>,
    /// No more requests than these.
    pub requests: Option<u64>,
}

/// Multi-turn load.
#[derive(Clone, Debug, Serialize)]
pub struct Sessions {
    /// Sessions alive at a time, one row each.
    pub stages: Vec<u32>,
    /// A finished session is followed by a new one until this time; without it every session runs once.
    pub span: Option<Duration>,
    /// Time over which the first sessions start.
    pub ramp: Duration,
    /// Law of those starts.
    pub process: Process,
    /// The first sessions are met at a random turn, with as much history as belongs to it.
    pub under_way: bool,
    /// Turns of a session.
    pub turns: LengthLaw,
    /// From the end of an answer to the next turn.
    pub think: ThinkLaw,
    /// Tokens of a beginning that all sessions share.
    pub system: Option<LengthLaw>,
    /// Tokens of the first question.
    pub first: LengthLaw,
    /// Tokens of every later question.
    pub question: LengthLaw,
    /// Answer tokens.
    pub output: LengthLaw,
    /// Header that carries the key of the session.
    #[serde(serialize_with = "header_name")]
    pub header: HeaderName,
}

/// Load as the Latency Profile Generator makes it.
#[derive(Clone, Debug, Serialize)]
pub struct Lpg {
    /// Nominal rates, one row each; the rate that is achieved is lower.
    pub stages: Vec<OpenStage>,
    /// Prompts are drawn from so many, with replacement.
    pub prompts: u64,
    /// Time that each send costs on top of the gap, as it does in the original.
    pub send_cost: Duration,
}

/// Why a plan cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{argument}: {reason}")]
pub struct PlanError {
    /// Argument of the command line.
    pub argument: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Plan {
    /// Number of rows that the report will have.
    pub fn stages(&self) -> usize {
        match &self.load {
            Load::Open { stages, .. } => stages.len(),
            Load::Closed { stages } => stages.len(),
            Load::Sessions(sessions) => sessions.stages.len(),
            Load::Lpg(lpg) => lpg.stages.len(),
        }
    }
}

impl Target {
    /// Reads `http://host:port[/base]`; the scheme may be left out, so may port 80.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => {
                return Err(format!("scheme {scheme:?} of {text:?} is not supported, only http is"));
            }
            None => text,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let parsed: http::uri::Authority = authority.parse().map_err(|_| format!("not a URL: {text:?}"))?;
        if parsed.host().is_empty() || path.contains(['?', '#']) {
            return Err(format!("not a URL of a server: {text:?}"));
        }
        let authority =
            if parsed.port().is_some() { authority.to_owned() } else { format!("{authority}:80") };
        let path = path.trim_end_matches('/').trim_end_matches("v1").trim_end_matches('/');
        let base_path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { authority, base_path })
    }
}

impl Model {
    /// Reads `NAME` or `NAME=WEIGHT`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, weight) = match text.rsplit_once('=') {
            Some((name, weight)) => (name, weight.parse().map_err(|_| format!("not a weight: {weight:?}"))?),
            None => (text, 1.0),
        };
        if name.is_empty() {
            return Err(format!("no model name in {text:?}"));
        }
        if !(f64::is_finite(weight) && weight > 0.0) {
            return Err(format!("weight {weight} of {name:?} is not positive"));
        }
        Ok(Self { name: name.to_owned(), weight })
    }
}

/// Only the names: a header may hold a key.
fn header_names<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(headers.keys().map(HeaderName::as_str))
}

fn header_name<S: Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        for (text, authority, base_path) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", ""),
            ("127.0.0.1:8080/", "127.0.0.1:8080", ""),
            ("http://a.example/x/v1/", "a.example:80", "/x"),
            ("http://[::1]:9/v1", "[::1]:9", ""),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(
                (target.authority.as_str(), target.base_path.as_str()),
                (authority, base_path),
                "{text}"
            );
        }
        for text in ["https://a", "", "http://", "http://a:b:c", "http://a/?x"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn models_take_a_weight() {
        assert_eq!(Model::parse("llama:8b").unwrap(), Model { name: "llama:8b".into(), weight: 1.0 });
        assert_eq!(Model::parse("a=0.25").unwrap().weight, 0.25);
        for text in ["", "=1", "a=", "a=0", "a=-1", "a=inf"] {
            assert!(Model::parse(text).is_err(), "{text}");
        }
    }
}
