//! The machine of one pool: offers, facts and progress in; verdicts out.
//!
//! Always holds: a ticket is waiting or in flight, never both; every booking given is returned once; whatever
//! waits has a deadline.

mod dispatch;
mod observe;
mod progress;

use std::collections::VecDeque;
use std::sync::Arc;

use fastrand::Rng;
use roadstead_core::{Refusal, Request, Time};

use crate::cost::Learned;
use crate::invariants::{Ledger, books_balance, empty_accounts_are_zero};
use crate::limits::{HEADS_TRIED_MAX, Limits};
use crate::pool::{Pool, PoolView, Slot};
use crate::prefix::PrefixIndex;
use crate::queue::WaitQueue;
use crate::retry_budget::RetryBudget;
use crate::schedule::{Policy, Scratch};
use crate::tickets::{Entry, Phase, Tickets};
use crate::verdict::{Ticket, Verdict};

/// Decides for one pool.
pub struct Machine {
    policy: Policy,
    limits: Limits,
    pool: Pool,
    index: Arc<PrefixIndex>,
    learned: Learned,
    tickets: Tickets,
    queue: WaitQueue,
    budget: RetryBudget,
    rng: Rng,
    verdicts: VecDeque<Verdict>,
    ledger: Ledger,
    scratch: Scratch,
    candidates: Vec<Slot>,
    /// When the waiting requests were last tried.
    tried: Time,
}

impl Machine {
    /// A machine without endpoints that picks by `policy`.
    pub fn new(policy: Policy, limits: Limits, seed: u64) -> Machine {
        let learned = Learned::default();
        let mut pool = Pool::default();
        pool.set_prompt_tokens_mean(learned.prompt_tokens.value());
        Machine {
            queue: WaitQueue::new(limits.queue_max),
            policy,
            limits,
            pool,
            index: Arc::new(PrefixIndex::default()),
            learned,
            tickets: Tickets::default(),
            budget: RetryBudget::new(),
            rng: Rng::with_seed(seed),
            verdicts: VecDeque::new(),
            ledger: Ledger::default(),
            scratch: Scratch::default(),
            candidates: Vec::new(),
            tried: Time::ZERO,
        }
    }

    /// Takes a request. Usually yields its dispatch at once; otherwise it waits here.
    pub fn offer(&mut self, now: Time, request: Request) -> Ticket {
        self.budget.offered();
        let ticket = self.tickets.insert(Entry {
            request,
            arrived: now,
            phase: Phase::Waiting,
            excluded: Vec::new(),
            refusal: Refusal::UpstreamFailed,
            resends: 0,
        });
        self.settle_prefilled(now);
        if !self.place(now, ticket) {
            self.wait_or_refuse(now, ticket);
        }
        ticket
    }

    /// When `expire` must be called next, if at all.
    pub fn next_deadline(&self) -> Option<Time> {
        let mut next = self.queue.next_deadline();
        let mut earlier = |at: Time| next = Some(next.map_or(at, |next| next.min(at)));
        for (_, state) in self.pool.watched() {
            if let Some(at) = state.health.move_at.filter(|_| !state.account.is_empty()) {
                earlier(at);
            }
            // An ejection that was over when the queue was last tried changes nothing for what still waits.
            if self.queue.len() > 0
                && let Some(ejection) = state.health.ejection.filter(|ejection| ejection.until > self.tried)
            {
                earlier(ejection.until);
            }
        }
        next
    }

    /// Does what is due by `now`: refuses what waited too long, moves what hangs, tries what waits.
    pub fn expire(&mut self, now: Time) {
        while let Some(ticket) = self.queue.expired(now) {
            self.refuse(ticket, Refusal::NoEndpoint);
        }
        self.move_from_silent(now);
        self.try_waiting(now);
    }

    /// The oldest verdict not taken yet. Drain after each call.
    pub fn next_verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }

    /// A readable copy of the pool's state.
    pub fn view(&self, now: Time) -> PoolView {
        let view = PoolView {
            endpoints: PoolView::endpoints_of(&self.pool, now),
            queued: self.queue.len(),
            policy: self.policy.name,
        };
        debug_assert!(books_balance(self.ledger, &view), "bookings given, returned and held do not add up");
        debug_assert!(empty_accounts_are_zero(&view), "an account without requests holds something");
        view
    }

    /// The bookings given, returned and held so far.
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// How prompts must be cut for this machine's policy.
    pub fn prefix_shape(&self) -> crate::prefix::PrefixShape {
        self.policy.shape
    }

    fn try_waiting(&mut self, now: Time) {
        self.tried = now;
        for ticket in self.queue.heads(HEADS_TRIED_MAX) {
            let Some(arrived) = self.tickets.get(ticket).map(|entry| entry.arrived) else { continue };
            if self.place(now, ticket) {
                self.queue.remove(arrived, ticket);
            }
        }
    }

    /// Requests that show no first byte count as prefilled when they should be.
    fn settle_prefilled(&mut self, now: Time) {
        while let Some(ticket) = self.tickets.pop_prefilled(now) {
            let Some(Entry { phase: Phase::Flying(flight), .. }) = self.tickets.get_mut(ticket) else {
                continue;
            };
            // A ticket that was sent again meanwhile has a later expectation of its own.
            if flight.prefilled_at <= now && !flight.booking.decoding {
                self.pool.update(flight.slot, |state| state.account.prefilled(&mut flight.booking));
            }
        }
    }

    fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        if let Some(entry) = self.tickets.remove(ticket) {
            self.queue.remove(entry.arrived, ticket);
            self.verdicts.push_back(Verdict::Refuse { ticket, refusal });
        }
    }
}
