//! Where a request goes: a ranked list of endpoints for each role.

use crate::endpoint::EndpointId;

/// Endpoints in order of preference; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    first: EndpointId,
    others: Vec<EndpointId>,
}

impl Ranked {
    /// A list of one.
    pub fn one(first: EndpointId) -> Ranked {
        Ranked { first, others: Vec::new() }
    }

    /// `first`, then `others`.
    pub fn new(first: EndpointId, others: Vec<EndpointId>) -> Ranked {
        Ranked { first, others }
    }

    /// The preferred endpoint.
    pub fn first(&self) -> EndpointId {
        self.first
    }

    /// All of them, the preferred one first.
    pub fn iter(&self) -> impl Iterator<Item = EndpointId> + '_ {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

/// Which endpoints do which part of a request. The ranked list is a hint for fronts that cannot come back to
/// the picker, never a licence to send where there is no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Generates the answer; does the whole request where no other role is named.
    pub decode: Ranked,
    /// Computes the prompt's KV cache, where that is done apart.
    pub prefill: Option<Ranked>,
    /// Encodes images, audio or video, where that is done apart.
    pub encode: Option<Ranked>,
}

impl Placement {
    /// The whole request on one endpoint.
    pub fn on(endpoint: EndpointId) -> Placement {
        Placement { decode: Ranked::one(endpoint), prefill: None, encode: None }
    }
}
