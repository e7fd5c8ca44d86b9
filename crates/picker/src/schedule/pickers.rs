//! Pickers, one a file.

mod least_request;
mod max_score;
mod random;
mod round_robin;

pub use least_request::LeastRequestPicker;
pub use max_score::MaxScorePicker;
pub use random::RandomPicker;
pub use round_robin::RoundRobinPicker;
