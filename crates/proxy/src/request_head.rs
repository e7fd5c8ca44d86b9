//! The head of a request: what a client may ask at all, and what of it an endpoint gets to see.
//!
//! Runs before a request is placed and once more before it is forwarded. The client's headers stay as they
//! are, apart from those that are meant for one hop, those that steer gateways, and those that a proxy adds.

use std::fmt::Write;
use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use roadstead_core::Refusal;
use roadstead_net::UpstreamBody;
use roadstead_wire::forwarded::{self, Hop};
use roadstead_wire::headers;
use roadstead_wire::traceparent::TraceContext;

use crate::limits::REQUEST_ID_BYTES_MAX;
use crate::refuse::Refused;
use crate::upload::Upload;

/// Headers that are added on the way; room for them is made once.
const ADDED_MAX: usize = 8;

/// A request as it goes to endpoints, any number of times.
pub(crate) struct Outgoing {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    upload: Upload,
    /// Whether the client itself wants to see the endpoint's load.
    pub(crate) wants_load: bool,
}

/// Refuses what is no request for an endpoint.
pub(crate) fn admit(head: &Parts) -> Result<(), Refused> {
    // Going over to HTTP/2 is an offer that may be left alone.
    let upgrade = head.headers.get(UPGRADE).filter(|to| !to.as_bytes().eq_ignore_ascii_case(b"h2c"));
    if head.method == Method::CONNECT || upgrade.is_some() {
        return Err(Refusal::UpgradeUnsupported.into());
    }
    Ok(())
}

/// The length of the body as the client announces it; 0 where it does not.
pub(crate) fn announced_bytes(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// Whether the client sends its body only when it is told to go on, or can be stopped from sending.
pub(crate) fn expects_continue(head: &Parts) -> bool {
    head.version >= Version::HTTP_2 || head.headers.contains_key(EXPECT)
}

/// The client's request id, or a new one, which is then part of the head.
pub(crate) fn request_id(headers: &mut HeaderMap) -> HeaderValue {
    if let Some(id) = headers.get(&headers::REQUEST_ID)
        && (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
    {
        return id.clone();
    }
    let id = new_request_id();
    headers.insert(headers::REQUEST_ID, id.clone());
    id
}

impl Outgoing {
    /// Makes the client's request one for an endpoint. `load` asks the endpoint to tell its load.
    pub(crate) fn new(head: Parts, upload: Upload, client: IpAddr, load: bool) -> Outgoing {
        let Parts { method, uri, mut headers, .. } = head;
        headers.reserve(ADDED_MAX);
        let trailers = headers.get(TE).is_some_and(accepts_trailers);
        strip(&mut headers);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        if let Some(host) = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            headers.insert(HOST, host);
        }
        match &upload {
            // Set anew from what was read.
            Upload::Nothing | Upload::Whole(_) => drop(headers.remove(CONTENT_LENGTH)),
            Upload::Passing(_) => {}
        }
        let host = headers.get(HOST).cloned();
        forwarded::append(&mut headers, Hop { peer: client, tls: false, host: host.as_ref() });
        propagate_trace(&mut headers);
        let wants_load = headers.contains_key(&headers::ENDPOINT_LOAD_METRICS_FORMAT);
        if load && !wants_load {
            headers.insert(headers::ENDPOINT_LOAD_METRICS_FORMAT, HeaderValue::from_static("JSON"));
        }
        Outgoing { method, uri, headers, upload, wants_load }
    }

    /// The request for one try.
    pub(crate) fn request(&self) -> Request<UpstreamBody> {
        let mut request = Request::new(self.upload.body());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Whether it can be sent again.
    pub(crate) fn at_hand(&self) -> bool {
        self.upload.at_hand()
    }
}

/// Removes the headers of `connection`'s hop; used for answers too.
pub(crate) fn strip_hop(headers: &mut HeaderMap) {
    strip_named(headers);
    while let Some(name) = headers.keys().find(|name| is_hop(name)).cloned() {
        headers.remove(name);
    }
}

fn strip(headers: &mut HeaderMap) {
    strip_named(headers);
    let strange = |name: &&HeaderName| is_hop(name) || **name == EXPECT || is_control(name);
    while let Some(name) = headers.keys().find(strange).cloned() {
        headers.remove(name);
    }
}

/// Removes the headers that `connection` names.
fn strip_named(headers: &mut HeaderMap) {
    let Some(connection) = headers.get(CONNECTION) else { return };
    let usual = |value: &HeaderValue| value == "keep-alive" || value == "close";
    if usual(connection) && headers.get_all(CONNECTION).iter().count() == 1 {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    for name in values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
        // A client cannot have us drop what makes its message whole.
        if let Ok(name) = HeaderName::from_bytes(name.trim_ascii())
            && ![HOST, CONTENT_LENGTH].contains(&name)
        {
            headers.remove(name);
        }
    }
}

fn is_hop(name: &HeaderName) -> bool {
    // A trailer's names must stand before it for it to be passed on.
    headers::HOP_BY_HOP.contains(name) && *name != TRAILER
}

fn is_control(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-") && (headers::CONTROL.contains(name) || *name == headers::EXPLAIN)
}

fn accepts_trailers(te: &HeaderValue) -> bool {
    te.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn propagate_trace(headers: &mut HeaderMap) {
    let incoming = headers.get(&headers::TRACEPARENT).map(HeaderValue::as_bytes);
    let next = TraceContext::next_hop(incoming, fastrand::u128(..), fastrand::u64(..));
    let continues = incoming.and_then(TraceContext::parse).is_some();
    if !continues {
        // Vendors' data belongs to the trace that it came with.
        headers.remove(headers::TRACESTATE);
    }
    let mut text = String::with_capacity(64);
    let _ = write!(text, "{next}"); // writing to a String cannot fail
    headers.insert(headers::TRACEPARENT, HeaderValue::try_from(text).expect("hexadecimal digits and dashes"));
}

/// A random UUID, version 4.
fn new_request_id() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let random = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (at, place) in text.iter_mut().enumerate() {
        if ![8, 13, 18, 23].contains(&at) {
            shift -= 4;
            *place = HEX[(random >> shift) as usize & 0xf];
        }
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes")
}

#[cfg(test)]
mod tests;
