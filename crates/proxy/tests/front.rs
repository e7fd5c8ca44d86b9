//! The front on loopback, between raw clients and tiny endpoints that do exactly what a test says.

#![allow(clippy::unwrap_used)] // a helper that cannot go on fails its test

mod bad_input;
mod clients;
mod failures;
mod models;
mod passing;
mod support;
