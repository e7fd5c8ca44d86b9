//! Pick: a resolved request waits here, and nowhere else, until the picker's machine says where it goes.
//!
//! Third stage: the live shell of one machine. It is the machine's lock, its clock and its timer, and it
//! carries verdicts to whoever holds the ticket. Always holds: a verdict that is found in the call that caused
//! it is returned by that call, without a waker; other tickets are woken after the lock is released; a ticket
//! is closed exactly once. Must not decide anything.

mod desk;
mod guard;

use std::sync::Arc;
use std::time::Duration;

use roadstead_core::{Endpoint, Refusal, Request, Time};
use roadstead_fleet::FactSink;
use roadstead_picker::{Fact, Machine, PoolView, PrefixShape};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::account::{Asked, Exchange, Timeline};
use crate::metrics::EppMetrics;
use crate::resolve::Resolved;
use desk::Shared;
pub(crate) use desk::{Dispatch, Next};
pub(crate) use guard::TicketGuard;

/// The timer looks at the machine's next deadline at least this often. Deadlines that come forward wake it at
/// once; this only bounds what a missed one can cost.
const TIMER_LOOK_MAX: Duration = Duration::from_secs(1);

/// One pool: a machine and the requests that wait on it. Clones share it.
#[derive(Clone)]
pub struct PoolHandle {
    shared: Arc<Shared>,
}

impl PoolHandle {
    /// A pool that is decided by `machine`. Its clock starts now.
    pub fn new(machine: Machine, metrics: EppMetrics) -> PoolHandle {
        PoolHandle { shared: Arc::new(Shared::new(machine, metrics)) }
    }

    /// How prompts must be cut for this pool's policy.
    pub fn prefix_shape(&self) -> &PrefixShape {
        &self.shared.shape
    }

    /// Finds a place for a request; waits for one if need be. Dropping the future gives the wait up.
    ///
    /// # Errors
    /// The machine's refusal.
    pub async fn pick(&self, resolved: Resolved) -> Result<Exchange, Refusal> {
        let offered = self.shared.now();
        let (asked, request) = split(resolved);
        let (mut guard, decided) = TicketGuard::offer(&self.shared, offered, request);
        let mut now = self.shared.now();
        self.shared.metrics.scheduler.picked_in(now.since(offered));
        let next = match decided {
            Some(next) => next,
            None => {
                let next = guard.next().await;
                now = self.shared.now();
                next
            }
        };
        match next {
            Next::Send(dispatch) => Ok(Exchange::begin(guard, asked, dispatch, Timeline::new(offered, now))),
            Next::Refused(refusal) => {
                asked.refused(&self.shared.metrics, refusal);
                Err(refusal)
            }
        }
    }

    /// A readable copy of the pool's state.
    pub fn view(&self) -> PoolView {
        self.shared.view()
    }

    /// The policy that picks.
    pub fn policy(&self) -> &'static str {
        self.shared.policy
    }

    /// The endpoints of the pool, in no order.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.shared.endpoints()
    }

    /// Whether `endpoint` belongs to the pool.
    pub fn has(&self, endpoint: &Endpoint) -> bool {
        self.shared.has(endpoint.id)
    }

    /// The pool's clock.
    pub fn now(&self) -> Time {
        self.shared.now()
    }

    /// Keeps the machine's deadlines until `stop`. Run it once, as a task of whoever owns the pool.
    pub async fn drive(&self, stop: CancellationToken) {
        let shared = &self.shared;
        loop {
            let wake_at = shared.arm_timer(TIMER_LOOK_MAX);
            // Cancel safety: a notification that loses the race stays stored; a sleep holds nothing.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = shared.timer.notified() => {}
                () = tokio::time::sleep_until(wake_at) => shared.expire(),
            }
        }
    }
}

impl FactSink for PoolHandle {
    fn observe(&self, fact: Fact) {
        self.shared.observe(fact);
    }
}

/// What the account needs to remember, and what the machine must know.
fn split(resolved: Resolved) -> (Asked, Request) {
    let Resolved { intake, target, priority, fairness } = resolved;
    let request = Request {
        model: target.clone(),
        priority,
        work: intake.work,
        prefix: intake.prefix,
        retry: intake.retry,
        explain: intake.explain,
    };
    let asked = Asked {
        api: intake.api,
        model: intake.model,
        target,
        stream: intake.stream,
        priority,
        fairness,
        prompt_tokens: intake.work.prompt_tokens,
        request_bytes: intake.request_bytes,
    };
    (asked, request)
}

/// A clock that counts from its making.
#[derive(Clone, Copy, Debug)]
struct Clock(Instant);

impl Clock {
    fn start() -> Clock {
        Clock(Instant::now())
    }

    fn now(self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    fn instant(self, time: Time) -> Instant {
        self.0 + time.since(Time::ZERO)
    }
}

#[cfg(test)]
pub(crate) mod tests;
