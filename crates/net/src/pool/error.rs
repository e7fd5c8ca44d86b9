//! What went wrong between the pool and an endpoint, typed by what the caller can do about it.

use std::io;

use crate::BoxError;

/// An exchange with an endpoint failed.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct UpstreamError {
    /// What happened.
    pub kind: UpstreamErrorKind,
    /// Whether the endpoint can have acted on the request.
    pub processed: Processed,
    /// The connection had served another exchange before: the endpoint may just have closed it as idle
    /// when the request arrived, so the failure says little about its health.
    pub reused: bool,
    #[source]
    source: Option<BoxError>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpstreamErrorKind {
    /// The name does not resolve.
    #[error("endpoint name does not resolve")]
    Resolve,
    /// No address accepts connections.
    #[error("endpoint refuses connections")]
    Connect,
    /// No connection within the connect timeout.
    #[error("connecting to the endpoint took too long")]
    Timeout,
    /// The bound on connections to this endpoint is reached.
    #[error("too many connections to the endpoint")]
    Busy,
    /// The endpoint closed or reset the connection before the exchange was over.
    #[error("endpoint closed the connection")]
    Reset,
    /// What the endpoint sent is not HTTP/1.1, or exceeds a bound.
    #[error("endpoint sent an invalid response")]
    Protocol,
    /// Our own request body failed: its sender went away. No fault of the endpoint.
    #[error("request body failed")]
    RequestBody,
}

/// Whether the endpoint can have acted on the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Processed {
    /// Nothing of the request was written: any request may be sent elsewhere.
    NotSent,
    /// Some or all of it was written: only what may run twice may be sent elsewhere.
    MaybeProcessed,
}

impl UpstreamError {
    pub(super) fn resolve(error: io::Error) -> UpstreamError {
        Self::not_sent(UpstreamErrorKind::Resolve, Some(error.into()))
    }

    pub(super) fn connect(error: io::Error) -> UpstreamError {
        let kind = if error.kind() == io::ErrorKind::TimedOut {
            UpstreamErrorKind::Timeout
        } else {
            UpstreamErrorKind::Connect
        };
        Self::not_sent(kind, Some(error.into()))
    }

    pub(super) fn busy() -> UpstreamError {
        Self::not_sent(UpstreamErrorKind::Busy, None)
    }

    /// A fresh connection that closed before anything was written.
    pub(super) fn never_written(error: &hyper::Error) -> UpstreamError {
        Self::not_sent(UpstreamErrorKind::Reset, Some(error.to_string().into()))
    }

    /// A failure after the request, or a part of it, was written.
    pub(super) fn from_exchange(error: &hyper::Error, reused: bool) -> UpstreamError {
        UpstreamError {
            kind: classify(error),
            processed: Processed::MaybeProcessed,
            reused,
            source: Some(describe(error).into()),
        }
    }

    fn not_sent(kind: UpstreamErrorKind, source: Option<BoxError>) -> UpstreamError {
        UpstreamError { kind, processed: Processed::NotSent, reused: false, source }
    }
}

fn classify(error: &hyper::Error) -> UpstreamErrorKind {
    if error.is_parse() || error.is_parse_too_large() {
        UpstreamErrorKind::Protocol
    } else if error.is_user() {
        UpstreamErrorKind::RequestBody
    } else if let Some(cause) = io_cause(error) {
        // hyper reports malformed chunks and trailers as I/O errors of these kinds.
        match cause.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => UpstreamErrorKind::Protocol,
            _ => UpstreamErrorKind::Reset,
        }
    } else {
        UpstreamErrorKind::Reset
    }
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref() {
            return Some(io);
        }
        cause = current.source();
    }
    None
}

/// hyper's error with its causes, as one line: `TrySendError` only lends it.
fn describe(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}
