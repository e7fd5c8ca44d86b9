//! The HTTP front of `serve`: takes a client's request, has it placed, and carries it to the endpoint and the
//! answer back, streaming both ways.
//!
//! [`Front::service`] is what `net`'s server calls; `forward.rs` is the path of a request. Always holds: a
//! request is answered or its client sees an error; what an endpoint answers passes untouched, chunk by chunk.
//! Must not know policies or scrapes; it asks `epp` for a place and tells it what happened.

mod attempt;
mod forward;
mod headers;
pub mod limits;
mod models;
mod record;
mod refuse;
mod request_head;
mod response;
mod service;
mod targets;
mod upload;

pub use limits::ProxyLimits;
pub use response::Answer;
pub use service::Front;
