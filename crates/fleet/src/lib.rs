//! What the endpoints look like now: every endpoint is scraped and asked for its models by tasks of its own,
//! and what they see goes to a [`FactSink`] as facts.
//!
//! The shells here look and report; whether an endpoint is ready, hung or ejected is the picker's conclusion.
//! Every task belongs to a [`Fleet`], ends when its endpoint leaves, and keeps its memory flat. It must not
//! know requests, policies or the data plane's connections.

pub mod address;
pub mod engines;
pub mod fleet;
mod http_get;
pub mod metrics;
mod models_poll;
mod pace;
mod page_source;
mod scrape;
#[cfg(test)]
mod testing;

pub use address::{AddressError, parse_address};
pub use engines::{Engine, PageReader};
pub use fleet::{FactSink, Fleet, FleetConfig};
pub use metrics::FleetMetrics;
pub use scrape::SILENT_AFTER;
