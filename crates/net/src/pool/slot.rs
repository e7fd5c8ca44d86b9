//! The connections to one endpoint: who is idle, how many are open.
//!
//! [`Slot`] is the shared list, [`Lease`] one connection in somebody's hands. Always holds: a lease that is
//! dropped closes its connection; only [`Lease::give_back`] keeps it. No await happens here under the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::body::UpstreamBody;

/// The connections to one endpoint.
pub(super) struct Slot {
    idle_max: usize,
    /// The pool's count of sweeps.
    clock: Arc<AtomicU32>,
    open: AtomicUsize,
    idle: Mutex<IdleList>,
}

struct IdleList {
    /// Oldest first.
    connections: Vec<Idle>,
    /// Nothing comes back any more: forgotten, or the pool is gone.
    closed: bool,
}

struct Idle {
    since: u32,
    lease: Lease,
}

/// The right to have one connection open.
pub(super) struct Place(Arc<Slot>);

/// One connection in use.
pub(super) struct Lease {
    sender: SendRequest<UpstreamBody>,
    task: JoinHandle<()>,
    place: Place,
}

impl Slot {
    pub(super) fn new(idle_max: usize, clock: Arc<AtomicU32>) -> Slot {
        Slot {
            idle_max,
            clock,
            open: AtomicUsize::new(0),
            idle: Mutex::new(IdleList { connections: Vec::new(), closed: false }),
        }
    }

    /// The connection that was used last and can take a request now; drops the dead ones it meets.
    ///
    /// Last in, first out: the rest can grow old and go. One that has not yet told that it is ready (its
    /// last response ended a moment ago on another thread) is passed over.
    pub(super) fn take_idle(&self) -> Option<Lease> {
        let mut idle = self.idle.lock();
        let mut index = idle.connections.len();
        while index > 0 {
            index -= 1;
            let sender = &idle.connections[index].lease.sender;
            if sender.is_closed() {
                idle.connections.remove(index);
            } else if sender.is_ready() {
                return Some(idle.connections.remove(index).lease);
            }
        }
        None
    }

    /// A place for one more connection, unless `max` are open.
    pub(super) fn open(self: Arc<Self>, max: Option<usize>) -> Option<Place> {
        let max = max.unwrap_or(usize::MAX);
        let counted = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < max).then_some(open + 1));
        counted.ok().map(|_| Place(self))
    }

    /// Closes connections that have been idle for more than `ages_max` sweeps before `now`.
    pub(super) fn close_older_than(&self, now: u32, ages_max: u32) {
        let mut idle = self.idle.lock();
        idle.connections
            .retain(|entry| !entry.lease.sender.is_closed() && now.wrapping_sub(entry.since) <= ages_max);
    }

    /// Closes all idle connections and takes none back from now on.
    pub(super) fn close(&self) {
        let mut idle = self.idle.lock();
        idle.closed = true;
        idle.connections.clear();
    }

    pub(super) fn idle_count(&self) -> usize {
        self.idle.lock().connections.len()
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Lease {
    pub(super) fn new(sender: SendRequest<UpstreamBody>, task: JoinHandle<()>, place: Place) -> Lease {
        Lease { sender, task, place }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<UpstreamBody>>> {
        self.sender.try_send_request(request).await
    }

    /// Whether the connection can take another request at this moment.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Puts the connection on the idle list, or closes it where that is full or closed.
    pub(super) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let slot = self.place.0.clone();
        let mut idle = slot.idle.lock();
        if !idle.closed && idle.connections.len() < slot.idle_max {
            let since = slot.clock.load(Ordering::Relaxed);
            idle.connections.push(Idle { since, lease: self });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
