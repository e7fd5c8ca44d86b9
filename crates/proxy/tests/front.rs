//! The front on loopback, between raw clients and tiny endpoints that do exactly what a test says.

mod bad_input;
mod clients;
mod failures;
mod models;
mod passing;
mod support;
