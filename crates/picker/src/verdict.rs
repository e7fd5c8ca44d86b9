//! What the machine decided.

use std::sync::Arc;

use roadstead_core::{EndpointId, Placement, Refusal};

/// A request's handle in the machine that took it. Not reused while anything may still name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// A decision about one ticket.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Send it there. A dispatch for a ticket that is already on its way means: leave the try under way,
    /// take this one.
    Dispatch {
        /// Which request.
        ticket: Ticket,
        /// Where to.
        placement: Placement,
        /// Why there; only where the request asked.
        why: Option<Box<Why>>,
    },
    /// Answer it with a refusal; the ticket is closed.
    Refuse {
        /// Which request.
        ticket: Ticket,
        /// Why.
        refusal: Refusal,
    },
    /// Stop it in flight and answer with a refusal; the ticket is closed.
    Evict {
        /// Which request.
        ticket: Ticket,
        /// Why.
        refusal: Refusal,
    },
}

impl Verdict {
    /// The request that this is about.
    pub fn ticket(&self) -> Ticket {
        match self {
            Verdict::Dispatch { ticket, .. }
            | Verdict::Refuse { ticket, .. }
            | Verdict::Evict { ticket, .. } => *ticket,
        }
    }
}

/// The reasons behind one dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// The policy that decided.
    pub policy: &'static str,
    /// Where the request went.
    pub chosen: EndpointId,
    /// Every endpoint of the pool, in pool order.
    pub candidates: Vec<CandidateWhy>,
}

impl CandidateWhy {
    /// An endpoint of which nothing is said yet.
    pub fn new(endpoint: EndpointId, name: Arc<str>) -> CandidateWhy {
        CandidateWhy {
            endpoint,
            name,
            dropped_by: None,
            scores: Vec::new(),
            ttft_s: 0.0,
            tpot_s: 0.0,
            hit_tokens: 0,
        }
    }
}

/// One endpoint's part in a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateWhy {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Its name.
    pub name: Arc<str>,
    /// The filter that dropped it, or the state that kept it out.
    pub dropped_by: Option<&'static str>,
    /// Each scorer's name and its score, unweighted.
    pub scores: Vec<(&'static str, f32)>,
    /// Predicted time to first token, seconds.
    pub ttft_s: f32,
    /// Predicted time per output token, seconds.
    pub tpot_s: f32,
    /// Prompt tokens expected in its prefix cache.
    pub hit_tokens: u32,
}
