//! Faults of a server, for tests: what a broken model server does to those who talk to it.
//!
//! All are off unless asked for, at the start or later by `POST /sim/faults` with the whole set as JSON (absent
//! fields are off; `GET` shows it). Only whoever may reach the server can switch them, as everything else of it:
//! a simulated server belongs on loopback.

pub(crate) mod garbage;
mod page;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, StatusCode};
use roadstead_net::ResponseBody;
use serde::{Deserialize, Serialize};

use crate::api::{ApiError, Reply, json};
use page::Unsized;
pub(crate) use page::break_page;

/// By how much a wrong content length exceeds the body.
const MISSING_BYTES: usize = 100;

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Inference requests are answered with this status at once, without being computed.
    pub status: Option<u16>,
    /// Every connection is answered with bytes that are no HTTP, and closed. Connections that are open when
    /// this is switched on are drained as at a stop.
    pub garbage: bool,
    /// Streams break off after so many token events: the connection closes without the end of the body.
    pub reset_after_events: Option<u32>,
    /// What is never answered.
    pub hang: Hang,
    /// Whole answers to inference requests announce 100 bytes more than they have; the connection closes there.
    pub wrong_content_length: bool,
    /// What is wrong with `/metrics`.
    pub metrics: PageFault,
}

/// What is never answered. Connections are taken and requests read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hang {
    /// Everything is answered.
    #[default]
    Nothing,
    /// Inference requests hang, all else is answered.
    Inference,
    /// Everything hangs but `/sim/faults`.
    Everything,
}

/// What is wrong with `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageFault {
    /// Nothing.
    #[default]
    None,
    /// A kilobyte every 100 ms.
    Slow,
    /// 256 MiB of series that nobody knows before the real ones.
    Huge,
    /// 64 KiB of bytes that are no text.
    Binary,
    /// Half of the announced length, then the connection closes.
    Half,
}

/// Reads the faults of a `POST /sim/faults`.
pub(crate) fn read(body: &Bytes) -> Result<Faults, ApiError> {
    let faults: Faults =
        serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    match faults.status {
        Some(status) if !(200..=599).contains(&status) => {
            Err(ApiError::bad_parameter("status must be between 200 and 599.", "status", status))
        }
        _ => Ok(faults),
    }
}

/// Shows the faults.
pub(crate) fn show(faults: &Faults) -> Reply {
    let body = serde_json::to_vec(faults).expect("plain fields always serialise");
    json(StatusCode::OK, body)
}

/// The answer of a server that answers nothing else.
pub(crate) fn status_reply(status: u16) -> Reply {
    ApiError {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        kind: "InternalServerError",
        message: "this server is told to fail".to_owned(),
        param: None,
    }
    .reply()
}

/// Announces more than there is.
pub(crate) fn lengthen(reply: Reply) -> Reply {
    let (mut head, body) = reply.into_parts();
    let body = match body {
        ResponseBody::Full(bytes) => {
            announce(&mut head.headers, bytes.len() + MISSING_BYTES);
            ResponseBody::streaming(Unsized::new(bytes))
        }
        other => other,
    };
    Reply::from_parts(head, body)
}

fn announce(head: &mut HeaderMap, length: usize) {
    head.insert(CONTENT_LENGTH, HeaderValue::from(length));
}
