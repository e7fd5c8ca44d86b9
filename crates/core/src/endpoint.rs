//! A model-server address.

use std::fmt;
use std::sync::Arc;

/// Names an endpoint for as long as it is in a pool. Never reused while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// One model-server address of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identity in the pool.
    pub id: EndpointId,
    /// What people call it: in logs, metrics, `/pools` and explanations.
    pub name: Arc<str>,
    /// `host:port`; an IPv6 host stands in brackets.
    pub authority: Arc<str>,
}
