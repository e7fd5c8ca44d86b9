//! The way back: an endpoint's answer to the client, untouched and chunk by chunk.
//!
//! Last stage. What passes is counted and, at its end, accounted; nothing is held back or parsed on the way
//! except the few bytes in which a stream's events and usage are found. An answer that breaks off breaks off
//! for the client too.

mod relay;
mod stall;

use std::pin::Pin;

use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use roadstead_epp::explain;
use roadstead_wire::{headers, orca};

use crate::attempt::Upstreamed;
use crate::headers::SERVED_BY;
use crate::limits::ProxyLimits;
use crate::record::Record;
use crate::request_head::strip_hop;
use relay::{Relay, RelayError};

/// Headers that are added on the way; room for them is made once.
const ADDED_MAX: usize = 3;

/// The body of an answer.
pub struct Answer(Kind);

enum Kind {
    Own(Bytes, Option<Box<Record>>),
    Relayed(Box<Relay>),
}

/// Passes an endpoint's answer on.
pub(crate) fn relay(
    answer: Upstreamed,
    mut record: Box<Record>,
    limits: &ProxyLimits,
    wants_load: bool,
) -> Response<Answer> {
    let Upstreamed { mut head, first, rest, target } = answer;
    head.headers.reserve(ADDED_MAX);
    let status = head.status.as_u16();
    record.answered(status);
    strip_hop(&mut head.headers);
    let exchange = record.exchange.as_mut().expect("an endpoint answered, so there is an exchange");
    exchange.answered(status);
    if let Some(load) = head.headers.get(&headers::ENDPOINT_LOAD_METRICS) {
        if let Some(state) = orca::parse(load.as_bytes()) {
            exchange.load(state);
        }
        if !wants_load {
            head.headers.remove(headers::ENDPOINT_LOAD_METRICS);
        }
    }
    head.headers.insert(SERVED_BY, target.name.clone());
    if let Some(why) = exchange.why() {
        head.headers.insert(headers::EXPLAIN, explain::header_value(why));
    }
    head.headers.insert(headers::REQUEST_ID, record.request_id.clone());
    let streams = head.status.is_success() && is_event_stream(&head.headers);
    let body = Relay::new((first, rest), record, streams, limits.stall_timeout);
    let mut response = Response::new(Answer(Kind::Relayed(Box::new(body))));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// Sends an answer of our own.
pub(crate) fn own(mut answer: Response<Answer>, mut record: Box<Record>) -> Response<Answer> {
    answer.headers_mut().insert(headers::REQUEST_ID, record.request_id.clone());
    if answer.status().is_success() {
        record.answered(answer.status().as_u16());
    }
    if let Kind::Own(bytes, held) = &mut answer.body_mut().0 {
        record.bytes_out = bytes.len() as u64;
        *held = Some(record);
    }
    answer
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    kind.and_then(|kind| kind.get(..17)).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
}

impl Answer {
    /// An answer of our own.
    pub(crate) fn own(body: Bytes) -> Answer {
        Answer(Kind::Own(body, None))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match &mut self.0 {
            Kind::Own(bytes, _) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Kind::Relayed(relay) => relay.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own(bytes, _) => bytes.is_empty(),
            Kind::Relayed(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Relayed(relay) => relay.size_hint(),
        }
    }
}
