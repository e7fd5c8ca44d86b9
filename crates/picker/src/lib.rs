//! The picker: a pure machine that decides where each request goes and when.
//!
//! Facts and requests go in, verdicts come out. It has no sockets, tasks, clock or randomness of its own: `now`
//! and a seed come in. One pool is one [`Machine`]; its caller puts it behind one short lock. The gateway
//! and the tests in virtual time drive this same machine.

pub mod cost;
pub mod event;
pub mod fact;
pub mod invariants;
pub mod limits;
mod machine;
pub mod pool;
pub mod prefix;
mod queue;
mod retry_budget;
pub mod schedule;
mod tickets;
pub mod verdict;

pub use event::Event;
pub use fact::{Fact, Failure, FailureKind};
pub use limits::Limits;
pub use machine::Machine;
pub use pool::PoolView;
pub use prefix::PrefixShape;
pub use schedule::{DEFAULT_POLICY, Policy};
pub use verdict::{CandidateWhy, Ticket, Verdict, Why};
