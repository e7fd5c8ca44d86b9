//! What the machine decides, seen through its interface: facts and requests in, verdicts out.

mod account;
mod adapters;
mod explain;
mod health;
mod placing;
mod retries;
mod support;
mod waiting;
