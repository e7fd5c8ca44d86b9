//! Answers of our own: OpenAI-shaped errors with the status of `core`'s one table.
//!
//! The last stage of every request that no endpoint answered. Also throws away the body of a client that is
//! still sending when it is refused: closing on it would reset the connection before it reads why.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use roadstead_core::Refusal;
use roadstead_epp::BadRequest;
use roadstead_net::CollectError;
use roadstead_wire::headers;
use roadstead_wire::openai::error_body;

use crate::limits::{DISCARD_BYTES_MAX, DISCARD_TIME_MAX};
use crate::response::Answer;

/// A refusal and what to say about it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    message: Cow<'static, str>,
    param: Option<&'static str>,
}

impl Refused {
    /// Says `message` instead of the refusal's usual words.
    pub(crate) fn because(refusal: Refusal, message: impl Into<Cow<'static, str>>) -> Refused {
        Refused { refusal, message: message.into(), param: None }
    }

    /// The name of a model that nobody serves, as the client wrote it.
    pub(crate) fn unknown_model(model: &str) -> Refused {
        let message = format!("The model `{model}` does not exist.");
        Refused { param: Some("model"), ..Refused::because(Refusal::UnknownModel, message) }
    }

    /// The answer.
    pub(crate) fn answer(&self) -> Response<Answer> {
        let status = self.refusal.status();
        let body = error_body(&self.message, status.kind, status.code, self.param);
        let mut response = json(body);
        *response.status_mut() = StatusCode::from_u16(status.http).expect("the table holds valid statuses");
        let headers = response.headers_mut();
        if let Some(seconds) = status.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(reason) = status.dropped {
            headers.insert(headers::DROPPED_REASON, HeaderValue::from_static(reason));
        }
        response
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused::because(refusal, usual_words(refusal))
    }
}

impl From<BadRequest> for Refused {
    fn from(bad: BadRequest) -> Refused {
        let message = format!("invalid request body: {bad}");
        Refused { param: bad.param, ..Refused::because(Refusal::BadRequest, message) }
    }
}

impl From<CollectError> for Refused {
    fn from(error: CollectError) -> Refused {
        match error {
            CollectError::TooLarge { max_bytes } => {
                let message = format!("the request body is larger than {max_bytes} bytes");
                Refused::because(Refusal::BodyTooLarge, message)
            }
            CollectError::Read(source) => {
                let message = format!("the request body could not be read: {source}");
                Refused::because(Refusal::BadRequest, message)
            }
            CollectError::Stalled => Refusal::ClientTimeout.into(),
        }
    }
}

/// An answer of `body` as JSON.
pub(crate) fn json(body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::own(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Reads `body` to its end and throws it away, within bounds.
pub(crate) async fn discard(mut body: Incoming) {
    let reading = async {
        let mut read: u64 = 0;
        while read <= DISCARD_BYTES_MAX && !body.is_end_stream() {
            match body.frame().await {
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) | None => return,
            }
        }
    };
    // Whether it ended or not, the refusal is sent next.
    let _ = tokio::time::timeout(DISCARD_TIME_MAX, reading).await;
}

fn usual_words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::BadRequest => "the request makes no sense",
        Refusal::BodyTooLarge => "the request body is too large",
        Refusal::ClientTimeout => "the request body did not arrive in time",
        Refusal::ClientGone => "the client went away",
        Refusal::UnknownModel => "the model does not exist",
        Refusal::UpgradeUnsupported => "CONNECT and protocol upgrades are not supported",
        Refusal::NoEndpoint => "no endpoint is ready to serve the request",
        Refusal::QueueFull => "too many requests are waiting for an endpoint",
        Refusal::Expired => "the request waited too long for an endpoint",
        Refusal::Shed => "the request was shed under load",
        Refusal::ShuttingDown => "the gateway is shutting down",
        Refusal::UpstreamFailed => "the endpoint failed before it answered",
        Refusal::UpstreamProtocol => "the endpoint sent an invalid response",
        Refusal::UpstreamTimeout => "the endpoint did not answer in time",
        Refusal::Internal => "internal error",
    }
}
