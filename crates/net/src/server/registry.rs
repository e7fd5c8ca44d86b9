//! The open connections of one server: what each is doing, since when, and the verdict on it.
//!
//! A connection's task writes its phase with plain atomic stores; [`Registry::sweep`] reads them once a
//! tick. Time is counted in ticks, so nothing on a request's path reads a clock or arms a timer.
//! Always holds: a connection is in the registry exactly as long as its [`Membership`] lives.
//! Must not know sockets or HTTP.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use super::ServerLimits;

/// What a connection has to do next, decided by the sweep or by a drain. Later ones overrule earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Verdict {
    /// Go on.
    Stay = 0,
    /// Finish what is in flight, take nothing more.
    Finish = 1,
    /// The request head took too long: answer 408 and close.
    LateHead = 2,
    /// Close now.
    Cut = 3,
}

impl Verdict {
    fn from_u8(value: u8) -> Verdict {
        match value {
            0 => Verdict::Stay,
            1 => Verdict::Finish,
            2 => Verdict::LateHead,
            _ => Verdict::Cut,
        }
    }
}

/// All open connections of one server.
pub(super) struct Registry {
    tick: Duration,
    limits: TickLimits,
    clock: Arc<AtomicU32>,
    draining: AtomicBool,
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Arc<ConnectionState>>>,
}

/// The limits in ticks.
#[derive(Clone, Copy)]
struct TickLimits {
    head: u32,
    idle: u32,
    write_stall: u32,
}

impl Registry {
    pub(super) fn new(limits: &ServerLimits) -> Registry {
        let tick = limits.tick();
        let in_ticks = |limit: Duration| {
            let ticks = limit.as_nanos().div_ceil(tick.as_nanos());
            u32::try_from(ticks).unwrap_or(u32::MAX)
        };
        Registry {
            tick,
            limits: TickLimits {
                head: in_ticks(limits.head_timeout),
                idle: in_ticks(limits.idle_timeout),
                write_stall: in_ticks(limits.write_stall_timeout),
            },
            clock: Arc::new(AtomicU32::new(1)),
            draining: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            open: Mutex::new(HashMap::new()),
        }
    }

    pub(super) fn tick(&self) -> Duration {
        self.tick
    }

    /// Adds a connection that has just been accepted: its first head is due.
    pub(super) fn join(self: &Arc<Self>) -> Membership {
        let state = Arc::new(ConnectionState {
            clock: self.clock.clone(),
            in_flight: AtomicU32::new(0),
            head_begun: AtomicBool::new(true),
            since: AtomicU32::new(self.clock.load(Ordering::Relaxed)),
            stalled_since: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
            verdict: AtomicU8::new(Verdict::Stay as u8),
            waker: Mutex::new(None),
        });
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(id, state.clone());
        if self.draining.load(Ordering::SeqCst) {
            state.decide(Verdict::Finish);
        }
        Membership { registry: self.clone(), id, state }
    }

    /// Advances the clock by one tick and decides on every connection that overstays a limit.
    pub(super) fn sweep(&self) {
        let now = self.clock.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        for state in self.open.lock().values() {
            let verdict = state.judge(now, self.limits);
            if verdict != Verdict::Stay {
                state.decide(verdict);
            }
        }
    }

    /// Tells every connection, present and future, to finish.
    pub(super) fn drain_all(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for state in self.open.lock().values() {
            state.decide(Verdict::Finish);
        }
    }

    /// Tells every connection to close now; returns how many there were.
    pub(super) fn cut_all(&self) -> usize {
        let open = self.open.lock();
        for state in open.values() {
            state.decide(Verdict::Cut);
        }
        open.len()
    }
}

/// Keeps a connection in its registry until dropped.
pub(super) struct Membership {
    registry: Arc<Registry>,
    id: u64,
    state: Arc<ConnectionState>,
}

impl Membership {
    pub(super) fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.registry.open.lock().remove(&self.id);
    }
}

/// What one connection is doing. Written by its own task and its streams' tasks, read by the sweep.
pub(super) struct ConnectionState {
    clock: Arc<AtomicU32>,
    /// Exchanges whose service future or response body still lives.
    in_flight: AtomicU32,
    /// While nothing is in flight: bytes of the next head have come.
    head_begun: AtomicBool,
    /// Tick at which the present phase (waiting for a head, reading one) began.
    since: AtomicU32,
    /// Tick at which the client stopped taking bytes, 0 while it takes them.
    stalled_since: AtomicU32,
    /// Speaks h2: bytes on it may be no head at all.
    multiplexed: AtomicBool,
    verdict: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl ConnectionState {
    pub(super) fn set_multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    /// The connection's task, to be woken when a verdict falls.
    pub(super) fn set_waker(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }

    pub(super) fn verdict(&self) -> Verdict {
        Verdict::from_u8(self.verdict.load(Ordering::SeqCst))
    }

    /// Bytes have come from the client.
    pub(super) fn bytes_read(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 && !self.head_begun.load(Ordering::Relaxed) {
            self.since.store(self.now(), Ordering::Relaxed);
            self.head_begun.store(true, Ordering::Relaxed);
        }
    }

    /// The client takes bytes, or does not.
    pub(super) fn write_progress(&self, taken: bool) {
        if taken {
            if self.stalled_since.load(Ordering::Relaxed) != 0 {
                self.stalled_since.store(0, Ordering::Relaxed);
            }
        } else if self.stalled_since.load(Ordering::Relaxed) == 0 {
            self.stalled_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Begins an exchange, which lasts as long as the guard.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_begun.store(false, Ordering::Relaxed);
        InFlight(self.clone())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    fn now(&self) -> u32 {
        // 0 means "not stalled", so the clock skips it.
        self.clock.load(Ordering::Relaxed).max(1)
    }

    fn judge(&self, now: u32, limits: TickLimits) -> Verdict {
        let stalled_since = self.stalled_since.load(Ordering::Relaxed);
        if stalled_since != 0 && now.wrapping_sub(stalled_since) > limits.write_stall {
            return Verdict::Cut;
        }
        if !self.is_idle() {
            return Verdict::Stay;
        }
        let waited = now.wrapping_sub(self.since.load(Ordering::Relaxed));
        let multiplexed = self.multiplexed.load(Ordering::Relaxed);
        if self.head_begun.load(Ordering::Relaxed) && !multiplexed {
            return if waited > limits.head { Verdict::LateHead } else { Verdict::Stay };
        }
        if waited > limits.idle.saturating_add(limits.head) {
            Verdict::Cut // was told to finish and did not
        } else if waited > limits.idle {
            Verdict::Finish
        } else {
            Verdict::Stay
        }
    }

    fn decide(&self, verdict: Verdict) {
        let before = self.verdict.fetch_max(verdict as u8, Ordering::SeqCst);
        if before < verdict as u8
            && let Some(waker) = self.waker.lock().as_ref()
        {
            waker.wake_by_ref();
        }
    }
}

/// One exchange in flight.
pub(super) struct InFlight(Arc<ConnectionState>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.since.store(self.0.now(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}
