//! A request from intake to account, for whichever front took it: the stages [`intake`], [`resolve`], [`pick`]
//! and [`account`], each taking the value of the one before by move.
//!
//! Bytes of the request come in, a place to send it comes out, and the exchange that follows is kept in the
//! picker's account until it ends, however it ends. Must not know how a request is carried: no sockets, no
//! bodies, no protocol of a front.

pub mod account;
pub mod explain;
pub mod intake;
pub mod metrics;
pub mod pick;
pub mod resolve;

pub use account::{Exchange, Timeline};
pub use intake::{BadRequest, BodyUse, Intake};
pub use metrics::EppMetrics;
pub use pick::PoolHandle;
pub use resolve::Resolved;
/// How an exchange broke, as a front reports it.
pub use roadstead_picker::FailureKind;
