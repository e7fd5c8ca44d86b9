//! For tests: a fleet in virtual time (engines and the picker, without sockets), and workloads for it.
//!
//! The same machine that serves traffic decides here, and the same engine that `roadstead sim` runs answers; only
//! the shells between them are replaced by an event queue. Same seed, same result.

mod fleet;
mod sessions;

pub use fleet::{Arrival, FleetConfig, Placer, Record, VirtualFleet, Workload};
pub use sessions::{Sessions, SessionsConfig};
