//! The OpenAI-style API as vLLM 0.32 speaks it: one file an endpoint.
//!
//! A handler takes a request's head and bytes and gives an answer or an [`ApiError`]; what it wants generated
//! goes through [`generate`] to the driver. Field order, nulls and wordings are those of the captured answers.
//! Must not know sockets or routes.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod generate;
pub(crate) mod lora;
pub(crate) mod messages;
pub(crate) mod models;
pub(crate) mod responses;
pub(crate) mod tokenize;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use roadstead_net::ResponseBody;

use crate::stream::EventStream;
pub(crate) use error::ApiError;

/// What a handler answers.
pub(crate) type Reply = Response<ResponseBody>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
/// Longest request id taken over from a client, in bytes; a longer one is replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = plain(status, body);
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

/// An answer without a content type.
pub(crate) fn plain(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(ResponseBody::Full(body.into()));
    *reply.status_mut() = status;
    reply
}

/// A stream of server-sent events.
pub(crate) fn events(stream: EventStream) -> Reply {
    let mut reply = Response::new(ResponseBody::streaming(stream));
    reply.headers_mut().insert(CONTENT_TYPE, EVENTS);
    reply
}

/// `text` as a JSON string, with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The id of a request: the client's, where it gave a usable one, else 16 hex digits.
pub(crate) fn request_id(head: &HeaderMap) -> String {
    let given = head.get("x-request-id").and_then(|value| value.to_str().ok());
    match given.filter(|id| !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX) {
        Some(id) => id.to_owned(),
        None => random_id(),
    }
}

/// 16 hex digits.
pub(crate) fn random_id() -> String {
    format!("{:016x}", fastrand::u64(..))
}
