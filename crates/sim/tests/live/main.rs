//! Simulated servers on loopback, asked by a plain client; captured answers of a real server stand beside theirs.

#![allow(clippy::unwrap_used, reason = "tests")]

mod adapters;
mod answers;
mod client;
mod errors;
mod faults;
mod metrics;
mod shape;
mod streaming;
