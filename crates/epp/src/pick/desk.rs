//! The machine behind its lock, and the verdicts on their way to whoever holds the ticket.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use roadstead_core::{Endpoint, EndpointId, Refusal, Time};
use roadstead_picker::{Event, Fact, Machine, PoolView, PrefixShape, Ticket, Verdict, Why};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Clock;
use crate::metrics::EppMetrics;

/// What all handles and tickets of one pool share.
pub(crate) struct Shared {
    desk: Mutex<Desk>,
    clock: Clock,
    pub(super) timer: Notify,
    pub(super) shape: PrefixShape,
    pub(super) policy: &'static str,
    pub(crate) metrics: EppMetrics,
}

struct Desk {
    machine: Machine,
    members: HashMap<EndpointId, Arc<Endpoint>>,
    /// Tickets that wait for a verdict, and verdicts that nobody has asked for yet. An entry goes when its
    /// ticket is closed.
    waiting: HashMap<Ticket, Waiting>,
    /// When the timer looks next.
    timer_at: Time,
}

#[derive(Default)]
struct Waiting {
    next: Option<Next>,
    waker: Option<Waker>,
}

/// What a ticket's holder is to do.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// Send the request there, leaving any try under way.
    Send(Dispatch),
    /// Answer with a refusal; the ticket is closed.
    Refused(Refusal),
}

/// A dispatch verdict with its endpoint looked up.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) why: Option<Box<Why>>,
}

/// Whether a call can bring the machine's next deadline forward, so that the timer must be told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deadline {
    Stays,
    MayComeForward,
}

impl Shared {
    pub(super) fn new(machine: Machine, metrics: EppMetrics) -> Shared {
        Shared {
            shape: machine.prefix_shape(),
            policy: machine.view(Time::ZERO).policy,
            desk: Mutex::new(Desk {
                machine,
                members: HashMap::new(),
                waiting: HashMap::new(),
                timer_at: Time::NEVER,
            }),
            clock: Clock::start(),
            timer: Notify::new(),
            metrics,
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Offers a request: its ticket, and the verdict if there is one already.
    pub(super) fn offer(&self, now: Time, request: roadstead_core::Request) -> (Ticket, Option<Next>) {
        self.call(|desk| {
            let ticket = desk.machine.offer(now, request);
            (ticket, Some(ticket), Deadline::MayComeForward)
        })
    }

    /// Tells the machine what became of a ticket: the verdict on it, if there is one already.
    pub(super) fn progress(&self, now: Time, ticket: Ticket, events: &[Event]) -> Option<Next> {
        let worrying = |event: &Event| {
            matches!(event, Event::Failed(_)) || matches!(event, Event::Answered { status: 500.. })
        };
        let deadline = if events.iter().any(worrying) { Deadline::MayComeForward } else { Deadline::Stays };
        let ((), next) = self.call(|desk| {
            for event in events {
                desk.machine.progress(now, ticket, *event);
            }
            ((), Some(ticket), deadline)
        });
        next
    }

    /// Ends a ticket; nothing is asked of it any more.
    pub(super) fn close(&self, now: Time, ticket: Ticket, last: &[Event]) {
        self.call(|desk| {
            desk.waiting.remove(&ticket);
            for event in last {
                desk.machine.progress(now, ticket, *event);
            }
            ((), Some(ticket), Deadline::Stays)
        });
    }

    /// The verdict on a ticket that nobody has taken yet; `waker` is called when there is one.
    pub(super) fn claim(&self, ticket: Ticket, waker: Option<&Waker>) -> Option<Next> {
        let mut desk = self.desk.lock();
        let Some(waker) = waker else {
            return desk.waiting.get_mut(&ticket).and_then(|entry| entry.next.take());
        };
        let entry = desk.waiting.entry(ticket).or_default();
        let next = entry.next.take();
        match (&next, &mut entry.waker) {
            (Some(_), _) => {}
            (None, Some(known)) => known.clone_from(waker),
            (None, none) => *none = Some(waker.clone()),
        }
        next
    }

    pub(crate) fn observe(&self, fact: Fact) {
        let now = self.now();
        // Readings of an endpoint end silences, they begin none.
        let deadline = match fact {
            Fact::Scraped { .. } | Fact::Load { .. } | Fact::Models { .. } => Deadline::Stays,
            _ => Deadline::MayComeForward,
        };
        let (left, _) = self.call(|desk| {
            let left = match &fact {
                Fact::Joined(endpoint) => desk.members.insert(endpoint.id, Arc::new(endpoint.clone())),
                Fact::Left(endpoint) => desk.members.remove(endpoint),
                _ => None,
            };
            desk.machine.observe(now, fact);
            (left, None, deadline)
        });
        if let Some(left) = left {
            self.metrics.scheduler.forget_endpoint(&left.name);
        }
    }

    pub(super) fn expire(&self) {
        let now = self.now();
        self.call(|desk| {
            desk.machine.expire(now);
            ((), None, Deadline::Stays)
        });
    }

    /// Sets when the timer looks next, at most `look_max` from now.
    pub(super) fn arm_timer(&self, look_max: Duration) -> Instant {
        let latest = self.now() + look_max;
        let mut desk = self.desk.lock();
        desk.timer_at = desk.machine.next_deadline().map_or(latest, |deadline| deadline.min(latest));
        self.clock.instant(desk.timer_at)
    }

    pub(super) fn view(&self) -> PoolView {
        let now = self.now();
        self.desk.lock().machine.view(now)
    }

    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.desk.lock().members.values().cloned().collect()
    }

    /// Entries of tickets that wait or were decided on unasked.
    #[cfg(test)]
    pub(super) fn verdicts_kept(&self) -> usize {
        self.desk.lock().waiting.len()
    }

    pub(super) fn has(&self, endpoint: EndpointId) -> bool {
        self.desk.lock().members.contains_key(&endpoint)
    }

    /// Runs `act` under the lock and delivers the verdicts that it yields. `act` returns its value, the ticket
    /// whose verdict the caller takes itself, and whether the timer may have to be told.
    fn call<R>(&self, act: impl FnOnce(&mut Desk) -> (R, Option<Ticket>, Deadline)) -> (R, Option<Next>) {
        let mut wakers = Vec::new();
        let mut tell_timer = false;
        let (value, own) = {
            let mut desk = self.desk.lock();
            let (value, ticket, deadline) = act(&mut desk);
            let own = desk.deliver(ticket, &mut wakers);
            if deadline == Deadline::MayComeForward
                && let Some(next) = desk.machine.next_deadline()
                && next < desk.timer_at
            {
                // One message is enough until the timer has looked.
                desk.timer_at = next;
                tell_timer = true;
            }
            (value, own)
        };
        if tell_timer {
            self.timer.notify_one();
        }
        wakers.into_iter().for_each(Waker::wake);
        (value, own)
    }
}

impl Desk {
    /// Hands out the verdicts: the one on `own` is returned, the others are left for their tickets.
    fn deliver(&mut self, own: Option<Ticket>, wakers: &mut Vec<Waker>) -> Option<Next> {
        let mut returned = None;
        while let Some(verdict) = self.machine.next_verdict() {
            let ticket = verdict.ticket();
            let next = self.next(verdict);
            if own == Some(ticket) {
                returned = Some(next);
                continue;
            }
            let entry = self.waiting.entry(ticket).or_default();
            entry.next = Some(next);
            wakers.extend(entry.waker.take());
        }
        returned
    }

    fn next(&self, verdict: Verdict) -> Next {
        match verdict {
            Verdict::Dispatch { placement, why, .. } => match self.members.get(&placement.decode.first()) {
                Some(endpoint) => Next::Send(Dispatch { endpoint: endpoint.clone(), why }),
                None => Next::Refused(Refusal::Internal),
            },
            Verdict::Refuse { refusal, .. } | Verdict::Evict { refusal, .. } => Next::Refused(refusal),
        }
    }
}
