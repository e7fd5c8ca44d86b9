//! A simulated model server: `roadstead-engine` driven in real time behind the HTTP API of vLLM 0.32.
//!
//! Stands where a real model server stands: behind a gateway or under a load generator. Answers, errors, metrics
//! and load headers read like the real one's, down to field order and number format; timing is the engine's;
//! text is made up, four bytes a token. What a test needs a server to do wrong it does by [`Faults`].
//!
//! Always holds: a client that goes away frees its place in the engine at once, and a slow one delays nobody
//! else. Must not know gateways, policies or pools.

mod api;
mod clock;
mod config;
mod driver;
mod faults;
mod metrics;
mod metrics_page;
mod route;
mod server;
mod stream;
mod text;

pub use config::SimConfig;
pub use faults::{Faults, Hang, PageFault};
pub use server::{Server, start_many};
