//! HTTP load for OpenAI-style servers: what `roadstead bench` runs.
//!
//! A [`Plan`] says what to send and when; [`run`] sends it and gives a [`Report`]. Requests follow from the seed alone,
//! never from the target, so that two targets can be compared request by request. Every latency is kept from the
//! intended start as well as from the actual send: a server that stalls the generator cannot hide its own delay
//! (coordinated omission). This crate knows the public API of the servers and nothing about the gateway.

pub mod args;
pub mod arrivals;
pub mod lengths;
pub mod plan;
pub mod progress;
pub mod prompts;
pub mod record;
pub mod report;
pub mod stream;

mod body;
mod client;
mod closed;
mod lpg;
mod open;
mod random;
mod run;
mod sessions;

pub use args::BenchArgs;
pub use body::Api;
pub use plan::{Plan, PlanError};
pub use progress::{Bar, Progress, Quiet};
pub use record::{ErrorClass, Record};
pub use report::Report;
pub use run::{RunError, bench, run};
