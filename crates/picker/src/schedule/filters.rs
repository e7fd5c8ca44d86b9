//! Filters, one a file.

mod adapter_tier;
mod warm_set;

pub use adapter_tier::AdapterTierFilter;
pub use warm_set::WarmSetFilter;
