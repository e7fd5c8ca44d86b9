//! Why a request was not served, and the one table from that to HTTP, gRPC and OpenAI words.

/// Canonical gRPC status codes that we use.
/// Source: <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GrpcCode {
    /// The client went away.
    Cancelled = 1,
    /// The request is malformed.
    InvalidArgument = 3,
    /// It did not finish in time.
    DeadlineExceeded = 4,
    /// No such model.
    NotFound = 5,
    /// A quota or a bound is reached.
    ResourceExhausted = 8,
    /// Not supported.
    Unimplemented = 12,
    /// Our own fault.
    Internal = 13,
    /// Nobody can serve it now.
    Unavailable = 14,
}

/// Why a request is answered by us and not by an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The body or head makes no sense: not JSON, wrong shape, bad UTF-8.
    BadRequest,
    /// The body is larger than the configured bound.
    BodyTooLarge,
    /// The client did not finish sending in time.
    ClientTimeout,
    /// The client went away.
    ClientGone,
    /// No endpoint of the pool serves this model.
    UnknownModel,
    /// `Upgrade` and `CONNECT` are not served.
    UpgradeUnsupported,
    /// No endpoint is ready and none became ready before the deadline.
    NoEndpoint,
    /// The wait queue is full.
    QueueFull,
    /// It waited until its deadline with endpoints present.
    Expired,
    /// Refused from the queue because it may be shed.
    Shed,
    /// We are draining.
    ShuttingDown,
    /// The endpoint could not be reached, or broke before its answer began, and no other could take over.
    UpstreamFailed,
    /// The endpoint gave an answer that is not HTTP.
    UpstreamProtocol,
    /// The endpoint did not answer in time.
    UpstreamTimeout,
    /// A fault of ours.
    Internal,
}

/// How a refusal is said on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeStatus {
    /// HTTP status.
    pub http: u16,
    /// gRPC status.
    pub grpc: GrpcCode,
    /// `error.type` of the OpenAI error object.
    pub kind: &'static str,
    /// `error.code` of the OpenAI error object.
    pub code: &'static str,
    /// Value of `x-llm-d-request-dropped-reason`, where upstream defines one.
    pub dropped: Option<&'static str>,
    /// Seconds of `retry-after`, where trying again helps.
    pub retry_after_s: Option<u32>,
}

impl Refusal {
    /// Every refusal, for tables and tests.
    pub const ALL: [Refusal; 15] = [
        Refusal::BadRequest,
        Refusal::BodyTooLarge,
        Refusal::ClientTimeout,
        Refusal::ClientGone,
        Refusal::UnknownModel,
        Refusal::UpgradeUnsupported,
        Refusal::NoEndpoint,
        Refusal::QueueFull,
        Refusal::Expired,
        Refusal::Shed,
        Refusal::ShuttingDown,
        Refusal::UpstreamFailed,
        Refusal::UpstreamProtocol,
        Refusal::UpstreamTimeout,
        Refusal::Internal,
    ];

    /// The one table. Dropped reasons are upstream's (endpoint picker protocol, request dropped reason header).
    pub const fn status(self) -> OutcomeStatus {
        use GrpcCode as G;
        const fn say(http: u16, grpc: GrpcCode, kind: &'static str, code: &'static str) -> OutcomeStatus {
            OutcomeStatus { http, grpc, kind, code, dropped: None, retry_after_s: None }
        }
        const fn dropped(status: OutcomeStatus, reason: &'static str, retry_after_s: u32) -> OutcomeStatus {
            OutcomeStatus { dropped: Some(reason), retry_after_s: Some(retry_after_s), ..status }
        }
        match self {
            Refusal::BadRequest => say(400, G::InvalidArgument, "invalid_request_error", "bad_request"),
            Refusal::BodyTooLarge => say(413, G::InvalidArgument, "invalid_request_error", "body_too_large"),
            Refusal::ClientTimeout => {
                say(408, G::DeadlineExceeded, "invalid_request_error", "request_timeout")
            }
            Refusal::ClientGone => OutcomeStatus {
                dropped: Some("rejected-context-cancelled"),
                ..say(499, G::Cancelled, "invalid_request_error", "client_gone")
            },
            Refusal::UnknownModel => say(404, G::NotFound, "invalid_request_error", "model_not_found"),
            Refusal::UpgradeUnsupported => {
                say(501, G::Unimplemented, "invalid_request_error", "upgrade_unsupported")
            }
            Refusal::NoEndpoint => dropped(
                say(503, G::Unavailable, "service_unavailable_error", "no_endpoint"),
                "rejected-no-endpoints",
                1,
            ),
            Refusal::QueueFull => dropped(
                say(429, G::ResourceExhausted, "rate_limit_error", "queue_full"),
                "rejected-saturated",
                1,
            ),
            Refusal::Expired => dropped(
                say(429, G::ResourceExhausted, "rate_limit_error", "queue_deadline"),
                "rejected-ttl-expired",
                1,
            ),
            Refusal::Shed => {
                dropped(say(429, G::ResourceExhausted, "rate_limit_error", "shed"), "rejected-saturated", 1)
            }
            Refusal::ShuttingDown => dropped(
                say(503, G::Unavailable, "service_unavailable_error", "shutting_down"),
                "rejected-shutting-down",
                1,
            ),
            Refusal::UpstreamFailed => say(502, G::Unavailable, "upstream_error", "endpoint_failed"),
            Refusal::UpstreamProtocol => say(502, G::Unavailable, "upstream_error", "endpoint_protocol"),
            Refusal::UpstreamTimeout => say(504, G::DeadlineExceeded, "upstream_error", "endpoint_timeout"),
            Refusal::Internal => say(500, G::Internal, "internal_error", "internal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_a_client_or_server_error_with_words() {
        for refusal in Refusal::ALL {
            let status = refusal.status();
            assert!((400..600).contains(&status.http), "{refusal:?}");
            assert!(!status.kind.is_empty() && !status.code.is_empty(), "{refusal:?}");
        }
    }

    #[test]
    fn codes_tell_refusals_apart() {
        let mut codes: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.status().code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Refusal::ALL.len());
    }
}
