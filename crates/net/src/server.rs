//! Serves HTTP/1.1 and HTTP/2 (prior knowledge, h2c) on one listener.
//!
//! Takes connections from [`crate::listener`], detects the protocol by the client's first bytes and drives
//! hyper; a request ends up in the `Service` that the front made for its connection. When the client goes
//! away, the service's future is dropped at once, also while it waits for an answer. An h1 client that
//! closes only its sending side counts as gone too: the two cannot be told apart before we write.
//!
//! There is no timer per request or connection: a connection notes what it is doing in a few atomics, and
//! one sweep a tick finds those that overstay ([`ServerLimits`]) and wakes them with a verdict.
//! Must not know routes, bodies or upstreams.

mod connection;
mod registry;

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::BoxError;
use crate::listener::Listener;
use connection::{Protocols, drive};
use registry::Registry;

/// Bounds of the tick on which connections are looked at: fine enough for the shortest limit, never busy.
const TICK_MIN: Duration = Duration::from_millis(5);
const TICK_MAX: Duration = Duration::from_secs(1);
/// Ticks that fit into the shortest limit: a limit is kept to within a quarter of itself.
const TICKS_PER_LIMIT: u32 = 4;
/// Time for connections that were cut at the end of a drain to notice and go.
const CUT_WAIT: Duration = Duration::from_secs(1);

/// What a client may take up before it is refused, slowed or closed.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Request line and headers (h1), header list (h2), and trailers, in bytes. Beyond: 431 and close.
    pub head_bytes_max: usize,
    /// Headers of an h1 request. Beyond: 431 and close. The default needs no allocation per request.
    pub headers_max: usize,
    /// Time for a whole request head to arrive, counted from its first byte (from accept for the first one).
    /// Beyond: 408 if a part of it came, and close.
    pub head_timeout: Duration,
    /// Time that a connection may stay open between requests. Beyond: closed (h2: GOAWAY).
    pub idle_timeout: Duration,
    /// Time that a client may take no bytes while we have some for it. Beyond: closed.
    pub write_stall_timeout: Duration,
    /// Open connections. Beyond: new ones wait in the kernel's backlog until one closes.
    pub connections_max: usize,
    /// Read and write buffer of one connection in bytes (h2: write buffer of one stream), at least 8192.
    pub buffer_bytes_max: usize,
    /// Concurrent streams of one h2 connection. Beyond: the stream is refused.
    pub h2_streams_max: u32,
    /// Streams that the client reset before we accepted them. Beyond: GOAWAY (rapid reset).
    pub h2_pending_resets_max: usize,
    /// Streams that we reset for the client's errors. Beyond: GOAWAY.
    pub h2_error_resets_max: usize,
    /// Time that exchanges in flight get to finish once a drain begins. Beyond: cut.
    pub drain_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            head_bytes_max: 64 * 1024,
            headers_max: connection::HEADERS_WITHOUT_ALLOCATION,
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            write_stall_timeout: Duration::from_secs(60),
            connections_max: 16 * 1024,
            buffer_bytes_max: 256 * 1024,
            h2_streams_max: 256,
            h2_pending_resets_max: 20,
            h2_error_resets_max: 256,
            drain_grace: Duration::from_secs(30),
        }
    }
}

impl ServerLimits {
    fn tick(&self) -> Duration {
        let shortest = self.head_timeout.min(self.idle_timeout).min(self.write_stall_timeout);
        (shortest / TICKS_PER_LIMIT).clamp(TICK_MIN, TICK_MAX)
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut because they did not finish within the grace.
    pub cut: usize,
}

/// Serves `listener` until `shutdown`, then drains and returns.
///
/// `make_service` is called once per connection with the client's address. While draining, the listener is
/// closed, h1 answers carry `connection: close`, h2 clients get GOAWAY; what is not finished after
/// [`ServerLimits::drain_grace`] is cut. Dropping the returned future does not stop open connections:
/// cancel `shutdown` instead.
pub async fn serve<M, S, B>(
    listener: Listener,
    limits: ServerLimits,
    mut make_service: M,
    shutdown: CancellationToken,
) -> Drained
where
    M: FnMut(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let registry = Arc::new(Registry::new(&limits));
    let tasks = TaskTracker::new();
    let protocols = Arc::new(Protocols::new(&limits, tasks.clone()));
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let mut ticks = tokio::time::interval(registry.tick());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

    loop {
        // Cancel safety: an accept that loses the race leaves its connection in the backlog and returns its
        // permit; a tick that loses stays due.
        let (stream, peer, permit) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = ticks.tick() => {
                registry.sweep();
                continue;
            }
            accepted = accept(&listener, &permits) => accepted,
        };
        let task = drive(stream, registry.join(), protocols.clone(), make_service(peer));
        tasks.spawn(async move {
            task.await;
            drop(permit);
        });
    }

    drop(listener);
    drain(&registry, &tasks, limits.drain_grace).await
}

async fn accept(
    listener: &Listener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let Ok(permit) = permits.clone().acquire_owned().await else {
        return pending().await; // the semaphore is never closed
    };
    let (stream, peer) = listener.accept().await;
    (stream, peer, permit)
}

async fn drain(registry: &Registry, tasks: &TaskTracker, grace: Duration) -> Drained {
    tasks.close();
    registry.drain_all();
    let deadline = Instant::now() + grace;
    let mut ticks = tokio::time::interval(registry.tick());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = tasks.wait() => return Drained { cut: 0 },
            () = tokio::time::sleep_until(deadline) => break,
            _ = ticks.tick() => registry.sweep(),
        }
    }
    let cut = registry.cut_all();
    // A task that does not even notice the cut (it blocks its thread) must not hold up the others' end.
    if tokio::time::timeout(CUT_WAIT, tasks.wait()).await.is_err() {
        tracing::warn!(open = tasks.len(), "connections outlived the drain");
    }
    Drained { cut }
}

#[cfg(test)]
mod tests;
