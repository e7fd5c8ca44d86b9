//! A request as the picker sees it: what it asks for and what it will cost, never its bytes.

use std::sync::Arc;

use crate::work::Work;

/// Chained hash of one prompt block: equal hashes mean equal prompts up to and including the block.
pub type BlockHash = u64;

/// May this request be sent to another endpoint after a failure?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// Inference: repeating it is safe as long as no response byte has arrived.
    UntilFirstByte,
    /// Only where the endpoint certainly did not process it.
    OnlyUnprocessed,
}

/// What the picker knows of a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The model or adapter to serve it, as endpoints name it. `None`: any endpoint will do.
    pub model: Option<Arc<str>>,
    /// Higher goes first; 0 is the default.
    pub priority: i32,
    /// Expected cost.
    pub work: Work,
    /// Chained hashes of the prompt's full blocks, in order. Empty where the prompt is short or unknown.
    pub prefix: Arc<[BlockHash]>,
    /// When it may be sent again.
    pub retry: RetryClass,
    /// Whether the dispatch must carry the reasons.
    pub explain: bool,
}

impl Request {
    /// A request that any endpoint can serve at no known cost, such as `GET /version`.
    pub fn plain() -> Request {
        Request {
            model: None,
            priority: 0,
            work: Work::default(),
            prefix: Arc::from([]),
            retry: RetryClass::OnlyUnprocessed,
            explain: false,
        }
    }
}
