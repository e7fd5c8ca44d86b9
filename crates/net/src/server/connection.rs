//! Drives one accepted connection from its first byte to its close.
//!
//! Stands between the accept loop and the front's service: detects the protocol, wraps the socket and the
//! service so that the registry sees what the connection is doing, and polls hyper until it ends or a
//! verdict falls. Always holds: when the connection ends, every future and body made for it is dropped.
//! Must not know limits as durations; the registry turns them into verdicts.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::ServerLimits;
use super::registry::{ConnectionState, InFlight, Membership, Verdict};
use crate::BoxError;

/// hyper parses up to this many headers on the stack; any other bound costs an allocation per request.
pub(super) const HEADERS_WITHOUT_ALLOCATION: usize = 100;
/// First bytes of the HTTP/2 connection preface (RFC 9113 §3.4); no HTTP/1.1 request begins with them.
const PREFACE_START: &[u8; 4] = b"PRI ";
/// Pause before looking again at a connection whose first packet held less than [`PREFACE_START`]: a peek
/// cannot wait for more bytes than are there.
const PREFACE_RETRY: Duration = Duration::from_millis(5);
/// How often an h2 client that says nothing is asked whether it is still there.
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// Time for its answer.
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);
const LATE_HEAD_REPLY: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The configured protocol drivers, made once per server.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<StreamTasks>,
}

impl Protocols {
    pub(super) fn new(limits: &ServerLimits, tasks: TaskTracker) -> Protocols {
        let mut http1 = http1::Builder::new();
        http1
            .header_read_timeout(None)
            .max_header_size(limits.head_bytes_max)
            .max_buf_size(limits.buffer_bytes_max);
        if limits.headers_max != HEADERS_WITHOUT_ALLOCATION {
            http1.max_headers(limits.headers_max);
        }
        let mut http2 = http2::Builder::new(StreamTasks(tasks));
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIMEOUT)
            .max_concurrent_streams(limits.h2_streams_max)
            .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
            .max_send_buf_size(limits.buffer_bytes_max)
            .max_pending_accept_reset_streams(limits.h2_pending_resets_max)
            .max_local_error_reset_streams(limits.h2_error_resets_max);
        Protocols { http1, http2 }
    }
}

/// Runs the streams of h2 connections as counted tasks; a stream's task ends when its connection does.
#[derive(Clone)]
struct StreamTasks(TaskTracker);

impl<F> Executor<F> for StreamTasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Serves `stream` until it closes.
pub(super) async fn drive<S, B>(
    stream: TcpStream,
    membership: Membership,
    protocols: Arc<Protocols>,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let state = membership.state();
    let Some(speaks_http2) = detect(&stream, state).await else {
        return;
    };
    let socket = Watched { inner: TokioIo::new(stream), state: state.clone() };
    let service = Tracked { inner: service, state: state.clone() };
    let ended = if speaks_http2 {
        state.set_multiplexed();
        drive_http2(protocols.http2.serve_connection(socket, service), state).await
    } else {
        drive_http1(protocols.http1.serve_connection(socket, service), state).await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn drive_http1<S, B>(
    mut connection: http1::Connection<Watched, Tracked<S>>,
    state: &ConnectionState,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    let mut obeyed = Verdict::Stay;
    let ended = poll_fn(|cx| {
        let verdict = next_verdict(state, &mut obeyed, cx);
        match verdict {
            Some(Verdict::Cut) => return Poll::Ready(None),
            Some(Verdict::LateHead) if state.is_idle() => return Poll::Ready(None),
            Some(_) => Pin::new(&mut connection).graceful_shutdown(),
            None => {}
        }
        Pin::new(&mut connection).poll(cx).map(Some)
    })
    .await;
    if ended.is_none() && obeyed == Verdict::LateHead {
        let parts = connection.into_parts();
        if !parts.read_buf.is_empty() {
            // Best effort: a client that is not reading either just sees the close.
            let _ = parts.io.inner.inner().try_write(LATE_HEAD_REPLY);
        }
    }
    ended.unwrap_or(Ok(()))
}

async fn drive_http2<S, B>(
    connection: http2::Connection<Watched, Tracked<S>, StreamTasks>,
    state: &ConnectionState,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let mut connection = pin!(connection);
    let mut obeyed = Verdict::Stay;
    poll_fn(|cx| {
        match next_verdict(state, &mut obeyed, cx) {
            Some(Verdict::Cut | Verdict::LateHead) => return Poll::Ready(Ok(())),
            Some(_) => connection.as_mut().graceful_shutdown(),
            None => {}
        }
        connection.as_mut().poll(cx)
    })
    .await
}

/// The verdict, if it is one that has not been obeyed yet.
fn next_verdict(state: &ConnectionState, obeyed: &mut Verdict, cx: &mut Context<'_>) -> Option<Verdict> {
    let verdict = state.verdict();
    if verdict == *obeyed {
        return None;
    }
    // Every verdict but the last may be followed by another.
    state.set_waker(cx.waker());
    *obeyed = verdict;
    Some(verdict)
}

/// Whether the client begins with the HTTP/2 preface; `None` if it sent nothing and is gone or told to go.
async fn detect(stream: &TcpStream, state: &ConnectionState) -> Option<bool> {
    let mut seen = [0; PREFACE_START.len()];
    let peeking = async {
        loop {
            let count = stream.peek(&mut seen).await.ok().filter(|&n| n > 0)?;
            if seen[..count] != PREFACE_START[..count] {
                return Some(false);
            }
            if count == PREFACE_START.len() {
                return Some(true);
            }
            tokio::time::sleep(PREFACE_RETRY).await;
        }
    };
    let mut peeking = pin!(peeking);
    let mut registered = false;
    poll_fn(|cx| {
        if !registered {
            // Before the verdict is read, so that none falls unseen in between. A task's waker stays valid
            // as it moves between threads, so once is enough.
            state.set_waker(cx.waker());
            registered = true;
        }
        if state.verdict() != Verdict::Stay {
            return Poll::Ready(None);
        }
        peeking.as_mut().poll(cx)
    })
    .await
}

/// The client's socket; tells the registry of bytes that come and of bytes that are not taken.
struct Watched {
    inner: TokioIo<TcpStream>,
    state: Arc<ConnectionState>,
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        if result.is_ready() {
            self.state.bytes_read();
        }
        result
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.state.write_progress(result.is_ready());
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.state.write_progress(result.is_ready());
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The front's service; an exchange is in flight from the call to the end of the response body.
struct Tracked<S> {
    inner: S,
    state: Arc<ConnectionState>,
}

impl<S, B> Service<Request<Incoming>> for Tracked<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<TrackedBody<B>>;
    type Error = S::Error;
    type Future = TrackedFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        TrackedFuture { in_flight: Some(self.state.begin()), inner: self.inner.call(request) }
    }
}

pin_project! {
    struct TrackedFuture<F> {
        #[pin]
        inner: F,
        in_flight: Option<InFlight>,
    }
}

impl<F, B, E> Future for TrackedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<TrackedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let in_flight = this.in_flight.take();
        Poll::Ready(result.map(|response| response.map(|inner| TrackedBody { inner, _in_flight: in_flight })))
    }
}

pin_project! {
    struct TrackedBody<B> {
        #[pin]
        inner: B,
        _in_flight: Option<InFlight>,
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
