//! Resolve: what the client asked for becomes what the pool is asked for.
//!
//! Second stage. Public model names map to the models and adapters that endpoints serve, objectives to
//! priorities, tenants to fairness ids. As long as nothing configures them, names stand for themselves and
//! priorities are 0. Must not know endpoints.

use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use roadstead_wire::headers;

use crate::intake::Intake;

/// The flow of requests that name none.
pub const DEFAULT_FLOW: &str = "default-flow";
/// Longest fairness id that is taken, in bytes; a longer one counts as none.
pub const FAIRNESS_ID_BYTES_MAX: usize = 256;

static DEFAULT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(DEFAULT_FLOW));

/// A request whose names mean something to the pool.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What the request's bytes said.
    pub intake: Intake,
    /// The model or adapter to serve it, as endpoints name it.
    pub target: Option<Arc<str>>,
    /// Higher goes first.
    pub priority: i32,
    /// Whose request it is.
    pub fairness: Arc<str>,
}

impl Resolved {
    /// Resolves `intake`; `headers` are the client's.
    pub fn of(intake: Intake, headers: &HeaderMap) -> Resolved {
        Resolved { target: intake.model.clone(), priority: 0, fairness: fairness_id(headers), intake }
    }
}

fn fairness_id(headers: &HeaderMap) -> Arc<str> {
    let named = headers.get(&headers::FAIRNESS_ID).or_else(|| headers.get(&headers::FAIRNESS_ID_DEPRECATED));
    named
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= FAIRNESS_ID_BYTES_MAX)
        .map_or_else(|| DEFAULT.clone(), Arc::from)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use roadstead_wire::headers::{FAIRNESS_ID, FAIRNESS_ID_DEPRECATED};

    use super::*;

    #[test]
    fn the_fairness_id_comes_from_either_header_and_has_a_default() {
        let mut headers = HeaderMap::new();
        assert_eq!(&*fairness_id(&headers), DEFAULT_FLOW);
        headers.insert(FAIRNESS_ID_DEPRECATED, HeaderValue::from_static("old"));
        assert_eq!(&*fairness_id(&headers), "old");
        headers.insert(FAIRNESS_ID, HeaderValue::from_static("tenant-a"));
        assert_eq!(&*fairness_id(&headers), "tenant-a");
    }

    #[test]
    fn an_unusable_fairness_id_counts_as_none() {
        for unusable in [&b""[..], b"\xff", &[b'x'; FAIRNESS_ID_BYTES_MAX + 1]] {
            let mut headers = HeaderMap::new();
            headers.insert(FAIRNESS_ID, HeaderValue::from_bytes(unusable).unwrap());
            assert_eq!(&*fairness_id(&headers), DEFAULT_FLOW);
        }
    }
}
