//! Simulated servers on loopback, asked by a plain client.

mod client;
mod streaming;
