//! The head of a request: what a client may ask at all, and what of it an endpoint gets to see.
//!
//! Runs before a request is placed and once more before it is forwarded. The client's headers stay as they
//! are, apart from those that are meant for one hop, those that steer gateways, and those that a proxy adds.

use std::net::IpAddr;
use std::sync::LazyLock;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, UPGRADE};
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
// Made once: a constant list is made and dropped wherever it is looked at.
static CONTROL: LazyLock<Vec<HeaderName>> = LazyLock::new(|| headers::CONTROL.into());
static FORWARDED: [HeaderName; 4] =
    [headers::X_FORWARDED_FOR, headers::X_FORWARDED_PROTO, headers::X_FORWARDED_HOST, headers::FORWARDED];
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Who is at the other end of a connection.
pub(crate) struct Client {
    ip: IpAddr,
    /// Its address as `x-forwarded-for` names it.
    forwarded_for: HeaderValue,
}

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

impl Client {
    pub(crate) fn new(ip: IpAddr) -> Client {
        let ip = ip.to_canonical();
        let text = ip.to_string();
        Client { ip, forwarded_for: HeaderValue::try_from(text).expect("an address is plain text") }
    }
}

impl Outgoing {
    /// Makes the client's request one for an endpoint. `load` asks the endpoint to tell its load.
    pub(crate) fn new(head: Parts, upload: Upload, client: &Client, load: bool) -> Outgoing {
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
        tell_client(&mut headers, client);
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
    while let Some(name) = headers.keys().find(|name| is_hop(name)).cloned() {
        remove(headers, &name);
    }
}

fn strip(headers: &mut HeaderMap) {
    let strange = |name: &&HeaderName| is_hop(name) || **name == EXPECT || is_control(name);
    while let Some(name) = headers.keys().find(strange).cloned() {
        remove(headers, &name);
    }
}

fn remove(headers: &mut HeaderMap, name: &HeaderName) {
    if *name == CONNECTION {
        remove_named(headers);
    }
    headers.remove(name);
}

/// Removes the headers that `connection` names.
fn remove_named(headers: &mut HeaderMap) {
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

/// Whether a header is in `headers::HOP_BY_HOP`; as text, for that is compared by length first. The names of
/// trailers must stand before them, so `trailer` passes.
fn is_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn is_control(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-") && (CONTROL.contains(name) || *name == headers::EXPLAIN)
}

fn accepts_trailers(te: &HeaderValue) -> bool {
    te.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn tell_client(headers: &mut HeaderMap, client: &Client) {
    let host = headers.get(HOST).cloned();
    if headers.keys().any(|name| FORWARDED.contains(name)) {
        return forwarded::append(headers, Hop { peer: client.ip, tls: false, host: host.as_ref() });
    }
    headers.insert(headers::X_FORWARDED_FOR, client.forwarded_for.clone());
    headers.insert(headers::X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.insert(headers::X_FORWARDED_HOST, host);
    }
}

fn propagate_trace(headers: &mut HeaderMap) {
    let incoming = headers.get(&headers::TRACEPARENT).map(HeaderValue::as_bytes);
    let next = TraceContext::next_hop(incoming, fastrand::u128(..), fastrand::u64(..));
    if incoming.and_then(TraceContext::parse).is_none() {
        // Vendors' data belongs to the trace that it came with.
        headers.remove(&headers::TRACESTATE);
    }
    let mut text = *b"00-________________________________-________________-__";
    write_hex(&mut text[3..35], next.trace_id);
    write_hex(&mut text[36..52], next.span_id.into());
    write_hex(&mut text[53..], next.flags.into());
    headers.insert(headers::TRACEPARENT, HeaderValue::from_bytes(&text).expect("digits and dashes"));
}

/// Fills `place`, an even number of digits, with the lowest hexadecimal digits of `number`.
fn write_hex(place: &mut [u8], number: u128) {
    for (pair, byte) in place.rchunks_exact_mut(2).zip(number.to_le_bytes()) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
    }
}

/// A random UUID, version 4.
fn new_request_id() -> HeaderValue {
    let random = (fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    for (place, shift) in [(0..8, 96), (9..13, 80), (14..18, 64), (19..23, 48), (24..36, 0)] {
        write_hex(&mut text[place], random >> shift);
    }
    HeaderValue::from_bytes(&text).expect("digits and dashes")
}

#[cfg(test)]
mod tests;
