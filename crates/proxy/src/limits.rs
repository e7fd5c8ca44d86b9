//! Bounds of the front, with their units and what happens there.

use std::time::Duration;

/// Bounds that a configuration may change.
#[derive(Clone, Debug)]
pub struct ProxyLimits {
    /// Body that is read whole before it is placed, in bytes. Beyond: 413. Bodies that only pass have no bound.
    pub body_bytes_max: usize,
    /// Time for such a body to arrive whole. Beyond: 408.
    pub body_timeout: Duration,
    /// Time to the first byte of an endpoint's answer, all tries together. Beyond: 504.
    pub answer_timeout: Duration,
    /// Time that an endpoint may stay silent in the middle of an answer. Beyond: the answer is cut.
    pub stall_timeout: Duration,
}

impl Default for ProxyLimits {
    fn default() -> ProxyLimits {
        ProxyLimits {
            body_bytes_max: 64 << 20,
            body_timeout: Duration::from_secs(300),
            answer_timeout: Duration::from_secs(3600),
            stall_timeout: Duration::from_secs(600),
        }
    }
}

/// Bytes of a refused body that are read and thrown away, so that its sender gets to read the refusal. A sender
/// of more may see its connection reset instead.
pub const DISCARD_BYTES_MAX: u64 = 256 << 20;
/// Time for that.
pub const DISCARD_TIME_MAX: Duration = Duration::from_secs(3);

/// Longest `x-request-id` taken from a client, in bytes. A longer one is replaced.
pub const REQUEST_ID_BYTES_MAX: usize = 256;

/// How long a list of models is given again without asking the endpoints.
pub const MODELS_FRESH: Duration = Duration::from_secs(1);
/// Time for an endpoint to list its models; a slower one is left out.
pub const MODELS_TIMEOUT: Duration = Duration::from_secs(2);
/// Endpoints that are asked for their models at the same time.
pub const MODELS_CONCURRENT_MAX: usize = 32;
/// An endpoint's list of models, in bytes; an endpoint with a longer one is left out.
pub const MODELS_PAGE_BYTES_MAX: usize = 4 << 20;
