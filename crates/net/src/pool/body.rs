//! The body of an endpoint's response, and with it the connection that carries it.
//!
//! Handed from the pool through the front to the client. When it has ended the connection goes back to the
//! pool; when it is dropped before, the connection is closed and the endpoint stops working for nobody.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::UpstreamError;
use super::slot::Lease;

/// A response body that owns its connection.
pub struct PooledBody {
    inner: Incoming,
    lease: Option<Lease>,
    /// The request body was streamed, and may still be on its way when the response ends.
    upload: bool,
}

impl PooledBody {
    pub(super) fn attach(response: Response<Incoming>, lease: Lease, upload: bool) -> Response<PooledBody> {
        response.map(|inner| {
            let mut body = PooledBody { inner, lease: Some(lease), upload };
            if body.inner.is_end_stream() {
                body.finish();
            }
            body
        })
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            // An endpoint that answered before it took the whole upload would keep the connection, and the
            // client's upload, busy for as long as it likes.
            if !self.upload || lease.is_ready() {
                lease.give_back();
            }
        }
    }
}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        Poll::Ready(match frame {
            None => {
                this.finish();
                None
            }
            Some(Ok(frame)) => {
                if this.inner.is_end_stream() {
                    this.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                this.lease = None;
                Some(Err(UpstreamError::from_exchange(&error, false)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl std::fmt::Debug for PooledBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PooledBody").field("ended", &self.lease.is_none()).finish_non_exhaustive()
    }
}
