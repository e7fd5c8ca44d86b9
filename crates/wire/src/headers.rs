//! Every header name that we use, once.
//!
//! The fronts read and write headers by these names only. Sources: endpoint picker protocol and llm-d router
//! for the control headers, W3C Trace Context, RFC 7239 and RFC 9110 for the rest.

use http::HeaderName;
use http::header;

/// The endpoint picked, `ip:port[,ip:port…]`; written by an endpoint picker for its gateway.
pub const DESTINATION_ENDPOINT: HeaderName = HeaderName::from_static("x-gateway-destination-endpoint");
/// The endpoint that answered; a gateway's feedback to its endpoint picker.
pub const DESTINATION_ENDPOINT_SERVED: HeaderName =
    HeaderName::from_static("x-gateway-destination-endpoint-served");
/// The endpoints to choose from.
pub const DESTINATION_ENDPOINT_SUBSET: HeaderName =
    HeaderName::from_static("x-gateway-destination-endpoint-subset");

/// Name of an InferenceObjective, which gives the priority.
pub const OBJECTIVE: HeaderName = HeaderName::from_static("x-llm-d-inference-objective");
/// Deprecated alias of [`OBJECTIVE`].
pub const OBJECTIVE_DEPRECATED: HeaderName = HeaderName::from_static("x-gateway-inference-objective");
/// Flow or tenant id.
pub const FAIRNESS_ID: HeaderName = HeaderName::from_static("x-llm-d-inference-fairness-id");
/// Deprecated alias of [`FAIRNESS_ID`].
pub const FAIRNESS_ID_DEPRECATED: HeaderName = HeaderName::from_static("x-gateway-inference-fairness-id");
/// Overrides the target model.
pub const MODEL_REWRITE: HeaderName = HeaderName::from_static("x-llm-d-model-name-rewrite");
/// Deprecated alias of [`MODEL_REWRITE`].
pub const MODEL_REWRITE_DEPRECATED: HeaderName = HeaderName::from_static("x-gateway-model-name-rewrite");
/// Objective for the time to first token, in ms.
pub const SLO_TTFT_MS: HeaderName = HeaderName::from_static("x-llm-d-slo-ttft-ms");
/// Deprecated alias of [`SLO_TTFT_MS`].
pub const SLO_TTFT_MS_DEPRECATED: HeaderName = HeaderName::from_static("x-slo-ttft-ms");
/// Objective for the time per output token, in ms.
pub const SLO_TPOT_MS: HeaderName = HeaderName::from_static("x-llm-d-slo-tpot-ms");
/// Deprecated alias of [`SLO_TPOT_MS`].
pub const SLO_TPOT_MS_DEPRECATED: HeaderName = HeaderName::from_static("x-slo-tpot-ms");
/// Frames per second of a video in the prompt.
pub const VIDEO_FPS: HeaderName = HeaderName::from_static("x-llm-d-video-fps");
/// Length of a video in the prompt, in seconds.
pub const VIDEO_DURATION_SECONDS: HeaderName = HeaderName::from_static("x-llm-d-video-duration-seconds");
/// Resolution of a video in the prompt.
pub const VIDEO_RESOLUTION: HeaderName = HeaderName::from_static("x-llm-d-video-resolution");
/// Why a request was dropped; on our refusals.
pub const DROPPED_REASON: HeaderName = HeaderName::from_static("x-llm-d-request-dropped-reason");

/// The endpoint that computes the prompt; for a disaggregation sidecar.
pub const PREFILLER_HOST_PORT: HeaderName = HeaderName::from_static("x-prefiller-host-port");
/// The endpoints that encode images; for a disaggregation sidecar.
pub const ENCODER_HOSTS_PORTS: HeaderName = HeaderName::from_static("x-encoder-hosts-ports");
/// Where to pull cached blocks from.
pub const KV_CACHE_SOURCE_HOST_PORT: HeaderName = HeaderName::from_static("x-kv-cache-source-host-port");
/// The data-parallel rank to use, by its address; deprecated.
pub const DATA_PARALLEL_HOST_PORT: HeaderName = HeaderName::from_static("x-data-parallel-host-port");
/// The data-parallel rank to use.
pub const DATA_PARALLEL_RANK: HeaderName = HeaderName::from_static("x-data-parallel-rank");

/// `1` on a request asks for the reasons of the pick; they come back under the same name.
pub const EXPLAIN: HeaderName = HeaderName::from_static("x-roadstead-explain");
/// Identifies a request in logs on both sides.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C trace context: trace, parent span, flags.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C trace context: vendors' data, passed on untouched.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The clients and proxies that a request came through.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `http` or `https`, as the client spoke.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// RFC 7239.
pub const FORWARDED: HeaderName = header::FORWARDED;
/// An engine's load at the time of its answer (ORCA).
pub const ENDPOINT_LOAD_METRICS: HeaderName = HeaderName::from_static("endpoint-load-metrics");
/// Asks an engine for [`ENDPOINT_LOAD_METRICS`]: `JSON` or `TEXT`.
pub const ENDPOINT_LOAD_METRICS_FORMAT: HeaderName = HeaderName::from_static("endpoint-load-metrics-format");
/// Hop-by-hop, of HTTP/1.0 clients.
pub const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Hop-by-hop, never standardised.
pub const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removed from a client's request before it goes to an endpoint. They steer gateways and sidecars, so no client
/// may make an endpoint, or a gateway behind us, believe them. Beside upstream's list these are the headers that
/// would let a client choose where parts of its request are computed.
pub const CONTROL: [HeaderName; 22] = [
    DESTINATION_ENDPOINT,
    DESTINATION_ENDPOINT_SERVED,
    DESTINATION_ENDPOINT_SUBSET,
    OBJECTIVE,
    OBJECTIVE_DEPRECATED,
    FAIRNESS_ID,
    FAIRNESS_ID_DEPRECATED,
    MODEL_REWRITE,
    MODEL_REWRITE_DEPRECATED,
    SLO_TTFT_MS,
    SLO_TTFT_MS_DEPRECATED,
    SLO_TPOT_MS,
    SLO_TPOT_MS_DEPRECATED,
    VIDEO_FPS,
    VIDEO_DURATION_SECONDS,
    VIDEO_RESOLUTION,
    DROPPED_REASON,
    PREFILLER_HOST_PORT,
    ENCODER_HOSTS_PORTS,
    KV_CACHE_SOURCE_HOST_PORT,
    DATA_PARALLEL_HOST_PORT,
    DATA_PARALLEL_RANK,
];

/// Meant for one connection and never forwarded (RFC 9110 §7.6.1), beside those that `connection` names.
/// `te: trailers` may be set anew by whoever forwards trailers.
pub const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_no_name_twice() {
        for list in [&CONTROL[..], &HOP_BY_HOP[..]] {
            let mut names: Vec<_> = list.iter().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn correlation_headers_are_not_control_headers() {
        for name in [REQUEST_ID, TRACEPARENT, TRACESTATE, ENDPOINT_LOAD_METRICS_FORMAT] {
            assert!(!CONTROL.contains(&name) && !HOP_BY_HOP.contains(&name), "{name}");
        }
    }
}
