//! The body of a request on its way to an endpoint.
//!
//! Made by the forward stage, consumed by the pool's connection. `Empty` and `Full` can be sent again by
//! whoever kept the bytes; `Streaming` cannot, so a request with it gets one try.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{BoxBody, boxed};
use crate::BoxError;

/// What a request to an endpoint carries.
#[derive(Default)]
pub enum UpstreamBody {
    /// No body.
    #[default]
    Empty,
    /// All of it at hand; sent with a `content-length`.
    Full(Bytes),
    /// Passed on as it comes, trailers too.
    Streaming(BoxBody),
}

impl UpstreamBody {
    /// Passes `body` on as it comes.
    pub fn streaming<B>(body: B) -> UpstreamBody
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        UpstreamBody::Streaming(boxed(body))
    }

    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self, UpstreamBody::Streaming(_))
    }
}

impl std::fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UpstreamBody::Empty => f.write_str("Empty"),
            UpstreamBody::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            UpstreamBody::Streaming(_) => f.write_str("Streaming"),
        }
    }
}

impl From<()> for UpstreamBody {
    fn from((): ()) -> UpstreamBody {
        UpstreamBody::Empty
    }
}

impl From<Bytes> for UpstreamBody {
    fn from(bytes: Bytes) -> UpstreamBody {
        UpstreamBody::Full(bytes)
    }
}

impl From<Incoming> for UpstreamBody {
    fn from(body: Incoming) -> UpstreamBody {
        if body.is_end_stream() { UpstreamBody::Empty } else { UpstreamBody::streaming(body) }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this {
            UpstreamBody::Empty => Poll::Ready(None),
            UpstreamBody::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = UpstreamBody::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            UpstreamBody::Streaming(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            UpstreamBody::Empty => true,
            UpstreamBody::Full(bytes) => bytes.is_empty(),
            UpstreamBody::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            UpstreamBody::Empty => SizeHint::with_exact(0),
            UpstreamBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            UpstreamBody::Streaming(body) => body.size_hint(),
        }
    }
}
