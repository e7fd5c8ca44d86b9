//! The only pool of upstream connections: HTTP/1.1 to endpoints, one pool a process.
//!
//! The forward stage, the scraper and the load generator send through it. A connection carries one exchange
//! at a time; it goes back to the idle list when the response body has ended, and is closed at once when
//! the response or its body is dropped early, which is how a client that goes away cancels its request.
//!
//! Always holds: a connection's task lives exactly as long as the pool, a response or a send owns it.
//! A request that was never written is sent again on a fresh connection; anything beyond that is the
//! caller's decision, by [`UpstreamError`]. Must not know which endpoint is better.

mod body;
mod connect;
mod error;
mod slot;
mod upstream;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use http::header::HOST;
use http::{Request, Response, Uri};
use parking_lot::RwLock;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::body::UpstreamBody;
use connect::Connector;
use slot::{Lease, Slot};

pub use body::PooledBody;
pub use connect::connect_stream;
pub use error::{Processed, UpstreamError, UpstreamErrorKind};
pub use upstream::{BadAuthority, Upstream};

/// Looks at idle connections per idle timeout: one overstays by at most a quarter.
const SWEEPS_PER_TIMEOUT: u32 = 4;
/// Shortest time between two looks.
const SWEEP_MIN: Duration = Duration::from_millis(10);

/// Bounds of the pool.
#[derive(Clone, Debug)]
pub struct PoolLimits {
    /// Idle connections kept per endpoint. Beyond: the one that comes back is closed.
    pub idle_max: usize,
    /// Idle time after which a connection is closed. Shorter than the keep-alive of common servers helps
    /// (uvicorn: 5 s), though a stale connection costs no more than a new one.
    pub idle_timeout: Duration,
    /// Time to resolve and connect, over all addresses of a name. Beyond: [`UpstreamErrorKind::Timeout`].
    pub connect_timeout: Duration,
    /// Open connections per endpoint, if bounded. Beyond: [`UpstreamErrorKind::Busy`] at once, since
    /// waiting belongs to whoever picks the endpoint.
    pub connections_max: Option<usize>,
    /// Response head and trailers in bytes. Beyond: [`UpstreamErrorKind::Protocol`].
    pub head_bytes_max: usize,
    /// Read and write buffer of one connection in bytes, at least 8192.
    pub buffer_bytes_max: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        PoolLimits {
            idle_max: 512,
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(2),
            connections_max: None,
            head_bytes_max: 128 * 1024,
            buffer_bytes_max: 256 * 1024,
        }
    }
}

/// What the pool holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Endpoints with a list of their own.
    pub upstreams: usize,
    /// Idle connections.
    pub idle: usize,
    /// Open connections, idle or in use, without those of forgotten endpoints.
    pub open: usize,
    /// Connections ever made.
    pub connected_total: u64,
}

/// The pool; clones share it. Dropping the last one closes its idle connections.
#[derive(Clone)]
pub struct UpstreamPool {
    inner: Arc<Pool>,
}

struct Pool {
    limits: PoolLimits,
    connector: Connector,
    slots: RwLock<HashMap<Arc<str>, Arc<Slot>>>,
    /// Counts sweeps: the clock by which idle connections age.
    clock: Arc<AtomicU32>,
    sweeper: OnceLock<AbortHandle>,
    connected_total: AtomicU64,
}

impl UpstreamPool {
    /// An empty pool. Connections and one sweeping task appear with the first request.
    pub fn new(limits: PoolLimits) -> UpstreamPool {
        UpstreamPool {
            inner: Arc::new(Pool {
                connector: Connector::new(&limits),
                limits,
                slots: RwLock::default(),
                clock: Arc::default(),
                sweeper: OnceLock::new(),
                connected_total: AtomicU64::new(0),
            }),
        }
    }

    /// Sends `request` and returns as soon as the response head is there.
    ///
    /// The URI is cut to its path and query, and `host` is set to the endpoint's authority if missing.
    /// There is no limit on the time to the response head: whoever knows what is asked bounds it, and
    /// dropping the future closes the connection.
    ///
    /// # Errors
    /// [`UpstreamError::processed`] says whether the endpoint can have seen the request.
    pub fn send<B>(
        &self,
        upstream: &Upstream,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<PooledBody>, UpstreamError>>
    where
        B: Into<UpstreamBody>,
    {
        // No future around the future: requests are large to move.
        let request = prepare(upstream, request.map(Into::into));
        self.inner.send(upstream, request)
    }

    /// Closes the idle connections to `authority`; those in use are closed when their exchange ends.
    pub fn forget(&self, authority: &str) {
        let slot = self.inner.slots.write().remove(authority);
        if let Some(slot) = slot {
            slot.close();
        }
    }

    /// Counts, for metrics and tests.
    pub fn stats(&self) -> PoolStats {
        let slots = self.inner.slots.read();
        PoolStats {
            upstreams: slots.len(),
            idle: slots.values().map(|slot| slot.idle_count()).sum(),
            open: slots.values().map(|slot| slot.open_count()).sum(),
            connected_total: self.inner.connected_total.load(Ordering::Relaxed),
        }
    }
}

impl Default for UpstreamPool {
    fn default() -> Self {
        Self::new(PoolLimits::default())
    }
}

impl Pool {
    async fn send(
        self: &Arc<Self>,
        upstream: &Upstream,
        mut request: Request<UpstreamBody>,
    ) -> Result<Response<PooledBody>, UpstreamError> {
        let slot = self.slot(upstream);
        let streaming = request.body().is_streaming();
        if let Some(mut lease) = slot.take_idle() {
            match lease.send(request).await {
                Ok(response) => return Ok(PooledBody::attach(response, lease, streaming)),
                Err(mut failure) => match failure.take_message() {
                    // The endpoint closed it while it was idle and nothing was written.
                    Some(unsent) => request = unsent,
                    None => return Err(UpstreamError::from_exchange(failure.error(), true)),
                },
            }
        }
        // Boxed: rare, and it would double what every request's future takes.
        let mut lease = Box::pin(self.connect(upstream, &slot)).await?;
        match lease.send(request).await {
            Ok(response) => Ok(PooledBody::attach(response, lease, streaming)),
            Err(failure) if failure.message().is_some() => Err(UpstreamError::never_written(failure.error())),
            Err(failure) => Err(UpstreamError::from_exchange(failure.error(), false)),
        }
    }

    async fn connect(
        self: &Arc<Self>,
        upstream: &Upstream,
        slot: &Arc<Slot>,
    ) -> Result<Lease, UpstreamError> {
        let place = slot.clone().open(self.limits.connections_max).ok_or_else(UpstreamError::busy)?;
        self.sweeper.get_or_init(|| tokio::spawn(sweep(Arc::downgrade(self))).abort_handle());
        let (sender, task) = self.connector.connect(upstream).await?;
        self.connected_total.fetch_add(1, Ordering::Relaxed);
        Ok(Lease::new(sender, task, place))
    }

    fn slot(&self, upstream: &Upstream) -> Arc<Slot> {
        if let Some(slot) = self.slots.read().get(upstream.authority()) {
            return slot.clone();
        }
        self.slots
            .write()
            .entry(upstream.shared_authority())
            .or_insert_with(|| Arc::new(Slot::new(self.limits.idle_max, self.clock.clone())))
            .clone()
    }

    fn sweep_interval(&self) -> Duration {
        (self.limits.idle_timeout / SWEEPS_PER_TIMEOUT).max(SWEEP_MIN)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get() {
            sweeper.abort();
        }
        for slot in self.slots.get_mut().values() {
            slot.close();
        }
    }
}

/// Closes what has been idle for too long, and forgets endpoints without connections, while the pool lives.
async fn sweep(pool: Weak<Pool>) {
    let Some(interval) = pool.upgrade().map(|pool| pool.sweep_interval()) else {
        return;
    };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        let now = pool.clock.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let ages_max = pool.limits.idle_timeout.div_duration_f64(interval).ceil() as u32;
        for slot in pool.slots.read().values() {
            slot.close_older_than(now, ages_max);
        }
        // A slot that somebody is about to use is held by them too.
        pool.slots.write().retain(|_, slot| slot.open_count() > 0 || Arc::strong_count(slot) > 1);
    }
}

/// Makes the request fit for an origin server (RFC 9112 §3.2.1).
fn prepare(upstream: &Upstream, mut request: Request<UpstreamBody>) -> Request<UpstreamBody> {
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    *request.version_mut() = http::Version::HTTP_11;
    if !request.headers().contains_key(HOST) {
        let host = upstream.host_header().clone();
        request.headers_mut().insert(HOST, host);
    }
    request
}

#[cfg(test)]
mod tests;
