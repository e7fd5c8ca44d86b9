//! The body of an answer on its way to a client.
//!
//! Made by a front: bytes of its own (errors, merged model lists) or what an endpoint sends.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{BoxBody, boxed};
use crate::BoxError;
use crate::pool::PooledBody;

/// What an answer carries.
#[derive(Default)]
pub enum ResponseBody {
    /// No body.
    #[default]
    Empty,
    /// All of it at hand.
    Full(Bytes),
    /// From an endpoint, as it comes.
    Pooled(PooledBody),
    /// Anything else, as it comes.
    Streaming(BoxBody),
}

impl ResponseBody {
    /// Passes `body` on as it comes.
    pub fn streaming<B>(body: B) -> ResponseBody
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        ResponseBody::Streaming(boxed(body))
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> ResponseBody {
        ResponseBody::Full(bytes)
    }
}

impl From<String> for ResponseBody {
    fn from(text: String) -> ResponseBody {
        ResponseBody::Full(text.into())
    }
}

impl From<&'static str> for ResponseBody {
    fn from(text: &'static str) -> ResponseBody {
        ResponseBody::Full(Bytes::from_static(text.as_bytes()))
    }
}

impl From<PooledBody> for ResponseBody {
    fn from(body: PooledBody) -> ResponseBody {
        ResponseBody::Pooled(body)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this {
            ResponseBody::Empty => Poll::Ready(None),
            ResponseBody::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = ResponseBody::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            ResponseBody::Pooled(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|read| read.map_err(Into::into)))
            }
            ResponseBody::Streaming(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Empty => true,
            ResponseBody::Full(bytes) => bytes.is_empty(),
            ResponseBody::Pooled(body) => body.is_end_stream(),
            ResponseBody::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Empty => SizeHint::with_exact(0),
            ResponseBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Pooled(body) => body.size_hint(),
            ResponseBody::Streaming(body) => body.size_hint(),
        }
    }
}
