//! What the shells saw of the endpoints. The machine concludes; the shells only report.

use roadstead_core::{Endpoint, EndpointId, EngineState, ModelCard};

/// Something seen of an endpoint, apart from any single request.
#[derive(Clone, Debug)]
pub enum Fact {
    /// It belongs to the pool from now on. It gets work after its first answered scrape or probe.
    Joined(Endpoint),
    /// It no longer belongs to the pool: no new work; what runs there may finish.
    Left(EndpointId),
    /// It takes no new work but stays, or takes work again.
    Draining {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Whether it drains.
        on: bool,
    },
    /// It answered a scrape or a probe. Fields that the answer did not carry are `None`.
    Scraped {
        /// Which endpoint.
        endpoint: EndpointId,
        /// What it said.
        state: EngineState,
    },
    /// A load header came with a response (ORCA).
    Load {
        /// Which endpoint.
        endpoint: EndpointId,
        /// What it said.
        state: EngineState,
    },
    /// The models that it serves.
    Models {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Its list; replaces the one before.
        models: Vec<ModelCard>,
    },
    /// A scrape has had no answer for longer than the shell's patience; the connection is open.
    /// Reported once per scrape; the next `Scraped` ends it.
    Silent(EndpointId),
    /// A scrape could not connect or its connection broke.
    Unreachable(EndpointId),
}

/// How an exchange with an endpoint broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection: nothing was sent.
    Connect,
    /// The connection ended before the answer began.
    Reset,
    /// The answer is not HTTP, or breaks its own framing.
    Protocol,
    /// No answer within the exchange's own time limit.
    Timeout,
    /// The endpoint said 503: it did not take the request.
    Overloaded,
    /// The answer had begun and broke off.
    Truncated,
}

impl FailureKind {
    /// Whether the endpoint certainly did no work for the request.
    pub fn unprocessed(self) -> bool {
        matches!(self, FailureKind::Connect | FailureKind::Overloaded)
    }
}

/// An exchange that broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub endpoint: EndpointId,
    /// How.
    pub kind: FailureKind,
    /// Whether the front still holds the whole request and has sent the client nothing.
    pub offer_again: bool,
}
