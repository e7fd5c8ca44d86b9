//! What became of a dispatched request. The shells coalesce: first byte, then every 32 tokens or 50 ms, then the end.

use roadstead_core::{EndpointId, Usage};

use crate::fact::Failure;

/// Progress of one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request is on its way to the endpoint.
    Sent,
    /// The answer has begun for the client, or its head shows an error: the request stays where it is.
    Answered {
        /// Its HTTP status.
        status: u16,
    },
    /// The first byte of the response's body arrived: the prompt is computed.
    FirstByte,
    /// Output tokens so far.
    Tokens(u32),
    /// A proxy that chose for itself says which endpoint answered.
    ServedBy(EndpointId),
    /// The response ended as it should.
    Finished(Usage),
    /// The exchange broke. May yield a new dispatch.
    Failed(Failure),
    /// The client went away, or the front gave up.
    Gone,
}
