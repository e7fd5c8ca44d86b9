//! Facts about endpoints.

use roadstead_core::{Endpoint, EndpointId, EngineState, Refusal, RetryClass, Time};

use super::Machine;
use crate::fact::Fact;
use crate::limits::HEADS_TRIED_MAX;
use crate::pool::{EndpointState, Slot};
use crate::tickets::{Entry, Phase};
use crate::verdict::Ticket;

impl Machine {
    /// Takes over what a shell saw. Facts about endpoints that are not in the pool are ignored.
    pub fn observe(&mut self, now: Time, fact: Fact) {
        let changes = self.pool.changes();
        match fact {
            Fact::Joined(endpoint) => self.join(endpoint),
            Fact::Left(endpoint) => self.with_slot(endpoint, Machine::leave),
            Fact::Draining { endpoint, on } => self.with_state(endpoint, |state| state.health.draining = on),
            Fact::Scraped { endpoint, state } => self.with_slot(endpoint, |machine, slot| {
                machine.scraped(now, slot, state);
            }),
            Fact::Load { endpoint, state } => {
                self.with_state(endpoint, |known| known.report(now, state, false))
            }
            Fact::Models { endpoint, models } => {
                self.with_slot(endpoint, |machine, slot| machine.pool.list(slot, models))
            }
            Fact::Silent(endpoint) => {
                let limits = self.limits.clone();
                self.with_state(endpoint, |state| state.health.silent(now, &limits))
            }
            Fact::Unreachable(endpoint) => self.with_slot(endpoint, |machine, slot| machine.lost(now, slot)),
        }
        // What waits does so because nobody gets work; a mere reading does not change that.
        if self.queue.len() > 0 && self.pool.changes() != changes {
            self.refuse_unknown();
            self.try_waiting(now);
        }
    }

    /// Sends elsewhere what has shown no byte on endpoints that are silent or unreachable for too long.
    pub(super) fn move_from_silent(&mut self, now: Time) {
        let due = |state: &EndpointState| state.health.move_at.is_some_and(|at| at <= now);
        let hung: Vec<Slot> =
            self.pool.watched().filter(|(_, state)| due(state)).map(|(slot, _)| slot).collect();
        for slot in hung {
            let mut all_moved = true;
            for ticket in self.stuck_on(slot) {
                all_moved &= self.offer_again(now, ticket);
            }
            let again = (!all_moved).then_some(now + self.limits.move_after);
            self.pool.update(slot, |state| state.health.move_at = again);
        }
    }

    /// Requests on `slot` that may be sent elsewhere: they have shown no byte.
    fn stuck_on(&self, slot: Slot) -> Vec<Ticket> {
        let stuck = |entry: &Entry| match &entry.phase {
            Phase::Flying(flight) => flight.slot == slot && flight.first_byte.is_none() && !flight.judged,
            Phase::Waiting => false,
        };
        let movable = |entry: &Entry| entry.request.retry == RetryClass::UntilFirstByte && stuck(entry);
        self.tickets.iter().filter(|(_, entry)| movable(entry)).map(|(ticket, _)| ticket).collect()
    }

    fn join(&mut self, endpoint: Endpoint) {
        if let Some(slot) = self.pool.slot(endpoint.id) {
            self.pool.update(slot, |state| state.health.leaving = false);
        } else if let Some(slot) = self.pool.join(endpoint) {
            self.size_history(slot);
        }
    }

    fn scraped(&mut self, now: Time, slot: Slot, reading: EngineState) {
        let pool_speed = &self.learned.speed;
        let resized = self.pool.update(slot, |state| {
            let known = state.reported.kv();
            if let Some(before) = state.reported.answered.filter(|_| state.account.is_empty()) {
                state.speed.fade(now.since(before), pool_speed);
            }
            state.report(now, reading, true);
            state.health.answered(now);
            state.reported.kv() != known
        });
        if resized == Some(true) {
            self.size_history(slot);
        }
    }

    fn size_history(&mut self, slot: Slot) {
        let shape = self.policy.shape;
        let blocks = shape.capacity.blocks(&shape, self.pool[slot].reported.kv());
        self.index.set_capacity(slot, blocks);
        let history = self.index.fill(slot);
        self.pool.update(slot, |state| state.history = history);
    }

    /// Its process is gone, and with it what it had cached.
    fn lost(&mut self, now: Time, slot: Slot) {
        self.index.forget(slot);
        let Machine { pool, index, limits, .. } = self;
        pool.update(slot, |state| {
            state.health.unreachable(now, limits);
            state.foreign.clear();
            state.models.forget_residents();
            state.history = index.fill(slot);
        });
    }

    fn leave(&mut self, slot: Slot) {
        let empty = self.pool.update(slot, |state| {
            state.health.leaving = true;
            state.account.is_empty()
        });
        if empty == Some(true) {
            self.index.forget(slot);
            self.pool.remove(slot);
        }
    }

    /// A list that was read may show that a waiting request's model is served nowhere.
    fn refuse_unknown(&mut self) {
        for ticket in self.queue.heads(HEADS_TRIED_MAX) {
            if self.tickets.get(ticket).is_some_and(|entry| self.model_is_unknown(entry)) {
                self.refuse(ticket, Refusal::UnknownModel);
            }
        }
    }

    fn with_slot(&mut self, endpoint: EndpointId, change: impl FnOnce(&mut Machine, Slot)) {
        if let Some(slot) = self.pool.slot(endpoint) {
            change(self, slot);
        }
    }

    fn with_state(&mut self, endpoint: EndpointId, change: impl FnOnce(&mut EndpointState)) {
        self.with_slot(endpoint, |machine, slot| {
            machine.pool.update(slot, change);
        });
    }
}
