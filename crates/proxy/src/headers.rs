//! Header names that only this front writes.

use http::HeaderName;

/// Names the endpoint that answered; on every forwarded answer.
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-roadstead-endpoint");
