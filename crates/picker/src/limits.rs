//! Every bound of the machine, with its unit and what happens there.

use std::time::Duration;

/// Bounds that a configuration may change.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Requests that may wait for an endpoint; beyond it they are refused with `QueueFull`.
    pub queue_max: usize,
    /// How long a request may wait; after it the request is refused with `NoEndpoint` or `Expired`.
    pub queue_wait_max: Duration,
    /// Sends of one request beyond the first.
    pub resends_max: u32,
    /// Silence on a scrape after which requests without a first byte are sent elsewhere. Counted from the scrape's
    /// report of silence.
    pub move_after: Duration,
    /// Server errors or broken exchanges in a row that eject an endpoint.
    pub ejection_failures: u32,
    /// How long a first ejection lasts; doubles up to `ejection_max`.
    pub ejection_base: Duration,
    /// The longest ejection.
    pub ejection_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            queue_max: 4096,
            queue_wait_max: Duration::from_secs(10),
            resends_max: 2,
            move_after: Duration::from_secs(4),
            ejection_failures: 3,
            ejection_base: Duration::from_secs(1),
            ejection_max: Duration::from_secs(30),
        }
    }
}

/// Share of offered requests that may be sent again, on average.
pub const RESEND_SHARE_PERCENT: u64 = 20;
/// Resends that are always in the budget after a quiet time.
pub const RESEND_BURST: u64 = 100;
/// Resends a second that the budget grants whatever the load.
pub const RESEND_MIN_PER_S: u64 = 10;
/// Endpoints in one pool; a join beyond it is refused and said.
pub const ENDPOINTS_MAX: usize = 16_384;
/// Models and adapters remembered of one endpoint's list.
pub const MODELS_MAX: usize = 4_096;
/// Sequences counted of one request; more are taken for this many.
pub const SEQUENCES_MAX: u32 = 4_096;
/// Waiting requests that one wake-up tries to place.
pub const HEADS_TRIED_MAX: usize = 64;
