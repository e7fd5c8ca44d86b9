//! The sockets of Roadstead: the only listener, the only upstream connection pool, and the bodies between them.
//!
//! Every byte of a request comes in through [`listener`] and [`server`], and leaves through [`pool`].
//! [`body`] holds what the fronts hand from one to the other. The scraper, the simulated servers and the
//! load generator use the same parts, so that all of them share one cost model and one set of bounds.
//!
//! Always holds: `TCP_NODELAY` on every socket, a bound on every buffer and wait, and a peer that goes away
//! ends the work done for it at once.
//!
//! Must not know: JSON, models, endpoints' load, retry policy. Errors say what happened and whether the
//! request may have been processed; the caller decides what to do about it.

pub mod body;
pub mod listener;
pub mod pool;
pub mod runtime;
pub mod server;
#[cfg(test)]
mod testing;

pub use body::{CollectError, ResponseBody, UpstreamBody, collect_bounded};
pub use listener::{Listener, bind_or_next};
pub use pool::{
    PoolLimits, PooledBody, Processed, Upstream, UpstreamError, UpstreamErrorKind, UpstreamPool,
    connect_stream,
};
pub use server::{Drained, ServerLimits, serve};

/// Any error of a body or a service, as hyper takes them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
