//! A client's body on its way to an endpoint, kept for another try as long as that is possible.
//!
//! A body that was read whole can be sent any number of times. One that passes can be sent again until the
//! first byte of it was asked for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use roadstead_net::UpstreamBody;

/// A body to send.
pub(crate) enum Upload {
    /// None.
    Nothing,
    /// Read whole.
    Whole(Bytes),
    /// Passes as it comes.
    Passing(Arc<Mutex<Option<Incoming>>>),
}

impl Upload {
    /// Passes `body` on as it comes.
    pub(crate) fn passing(body: Incoming) -> Upload {
        if body.is_end_stream() { Upload::Nothing } else { Upload::Passing(Arc::new(Mutex::new(Some(body)))) }
    }

    /// Whether all of it is still at hand.
    pub(crate) fn at_hand(&self) -> bool {
        match self {
            Upload::Nothing | Upload::Whole(_) => true,
            Upload::Passing(held) => held.lock().is_some(),
        }
    }

    /// The body for one try.
    pub(crate) fn body(&self) -> UpstreamBody {
        match self {
            Upload::Nothing => UpstreamBody::Empty,
            Upload::Whole(bytes) => UpstreamBody::Full(bytes.clone()),
            Upload::Passing(held) => UpstreamBody::streaming(Held { held: held.clone(), taken: None }),
        }
    }
}

/// A body that is taken when it is first asked for.
struct Held {
    held: Arc<Mutex<Option<Incoming>>>,
    taken: Option<Incoming>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if this.taken.is_none() {
            this.taken = this.held.lock().take();
        }
        match &mut this.taken {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.taken {
            Some(body) => body.is_end_stream(),
            None => self.held.lock().as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.taken {
            Some(body) => body.size_hint(),
            None => self.held.lock().as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint),
        }
    }
}
