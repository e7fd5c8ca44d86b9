//! Bytes to values and back, without IO: what a client asks, what an engine answers, what it says of itself.
//!
//! Every front and the fleet read the wire through here. Nothing here blocks, keeps a clock or opens a socket,
//! and no input, however broken, panics: every parser is fuzzed. It must not know pools, endpoints' state or
//! policies.

pub mod forwarded;
pub mod headers;
mod json;
pub mod metrics;
pub mod models;
pub mod openai;
pub mod orca;
pub mod sse;
pub mod traceparent;

pub use json::{BodyError, BodyErrorKind, NESTING_MAX};
