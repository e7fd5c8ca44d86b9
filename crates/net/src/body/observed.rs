//! Watches a body go by.
//!
//! The account stage hangs on this: it sees each chunk as it passes and is told once how the body ended,
//! also when the client went away and the body was simply dropped. Chunks are not held back or copied.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// All of it passed.
    Complete,
    /// Its source failed.
    Failed,
    /// Whoever took it stopped before the end.
    Dropped,
}

/// Is told what passes through an [`Observed`] body.
pub trait Observe {
    /// A chunk passes.
    fn chunk(&mut self, data: &Bytes);
    /// The body ended. Called exactly once; nothing follows.
    fn end(&mut self, how: BodyEnd);
}

/// A body that tells `O` what passes.
pub struct Observed<B, O: Observe> {
    inner: B,
    observer: O,
    ended: bool,
}

impl<B, O> Observed<B, O>
where
    B: Body<Data = Bytes> + Unpin,
    O: Observe + Unpin,
{
    /// Watches `inner`. An empty body ends at once.
    pub fn new(inner: B, observer: O) -> Self {
        let mut observed = Observed { inner, observer, ended: false };
        if observed.inner.is_end_stream() {
            observed.end(BodyEnd::Complete);
        }
        observed
    }
}

impl<B, O: Observe> Observed<B, O> {
    fn end(&mut self, how: BodyEnd) {
        if !std::mem::replace(&mut self.ended, true) {
            self.observer.end(how);
        }
    }
}

impl<B, O> Body for Observed<B, O>
where
    B: Body<Data = Bytes> + Unpin,
    O: Observe + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            None => this.end(BodyEnd::Complete),
            Some(Err(_)) => this.end(BodyEnd::Failed),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.observer.chunk(data);
                }
                // hyper asks no further once the last frame says so.
                if this.inner.is_end_stream() {
                    this.end(BodyEnd::Complete);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B, O: Observe> Drop for Observed<B, O> {
    fn drop(&mut self) {
        self.end(BodyEnd::Dropped);
    }
}
