//! Placing a ticket: candidates, choice, booking.

use roadstead_core::{EndpointId, Placement, Refusal, Time};

use super::Machine;
use crate::cost::{Demand, adapter_s, predict};
use crate::pool::{Booking, EndpointState, Pool, Slot, SlotSet};
use crate::schedule::{Cycle, Reasons};
use crate::tickets::{Entry, Flight, Phase};
use crate::verdict::{CandidateWhy, Ticket, Verdict, Why};

impl Machine {
    /// Tries to place `ticket`; true when a dispatch was decided. A ticket in flight stays where it is otherwise.
    pub(super) fn place(&mut self, now: Time, ticket: Ticket) -> bool {
        let Some(entry) = self.tickets.get(ticket) else { return false };
        let mut why = entry.request.explain.then(|| self.reasons(now, entry));
        self.collect_candidates(now, ticket);
        let Some((slot, hit_tokens)) = self.choose(now, ticket, why.as_deref_mut()) else { return false };
        self.dispatch(now, ticket, slot, hit_tokens);
        let endpoint = self.pool[slot].endpoint.id;
        if let Some(why) = &mut why {
            why.chosen = endpoint;
        }
        self.verdicts.push_back(Verdict::Dispatch { ticket, placement: Placement::on(endpoint), why });
        true
    }

    /// Nothing can take `ticket` now: it waits, or is refused where waiting is pointless.
    pub(super) fn wait_or_refuse(&mut self, now: Time, ticket: Ticket) {
        let Some(entry) = self.tickets.get(ticket) else { return };
        let arrived = entry.arrived;
        if self.model_is_unknown(entry) {
            return self.refuse(ticket, Refusal::UnknownModel);
        }
        if !entry.excluded.is_empty() && self.nobody_is_left(entry) {
            let refusal = entry.refusal;
            return self.refuse(ticket, refusal);
        }
        let deadline = arrived + self.limits.queue_wait_max;
        if deadline <= now {
            return self.refuse(ticket, Refusal::NoEndpoint);
        }
        if !self.queue.push(arrived, ticket, deadline) {
            self.refuse(ticket, Refusal::QueueFull);
        }
    }

    /// Whether every endpoint's list is known and none has the model.
    pub(super) fn model_is_unknown(&self, entry: &Entry) -> bool {
        let Some(model) = &entry.request.model else { return false };
        let mut slots = self.pool.present().clone();
        let some = !slots.is_empty();
        self.pool.catalogue().keep_serving(model, &mut slots);
        some && slots.is_empty()
    }

    /// Whether the request failed wherever it could be served.
    fn nobody_is_left(&self, entry: &Entry) -> bool {
        let mut slots = self.pool.present().clone();
        narrow(&self.pool, entry, &mut slots);
        slots.is_empty()
    }

    /// Books `ticket` on `slot`, in place of the booking that it may hold.
    pub(super) fn dispatch(&mut self, now: Time, ticket: Ticket, slot: Slot, hit_tokens: u32) {
        self.release(now, ticket);
        let Machine { tickets, pool, index, learned, ledger, .. } = self;
        let Some(entry) = tickets.get_mut(ticket) else { return };
        let request = &entry.request;
        let demand = Demand::of(request, learned);
        let standing = pool.standings().row(slot);
        let booking = Booking::new(now, &request.work, hit_tokens);
        let history = index.record(now, slot, &request.prefix);
        ledger.given += 1;
        let flight = pool.update(slot, |state| {
            let mut prediction = predict::<true>(&standing, &demand, hit_tokens as f32);
            let adapter = request.model.as_ref().filter(|model| state.models.is_adapter(model));
            if let Some(adapter) = adapter {
                let place = state.models.place(adapter, &state.reported);
                prediction.ttft_s += adapter_s(place, &standing, &prediction);
                let slots = state.reported.adapters.as_ref().map_or(1, |fact| fact.value.slots as usize);
                state.models.used(now, adapter, slots);
            }
            let flight = Flight::new(slot, state, booking, &prediction, learned);
            state.account.give(&flight.booking);
            state.foreign.own(state.account.sequences);
            state.unscraped_tokens += u64::from(flight.booking.uncached_tokens);
            state.history = history;
            Flight { trial: state.health.sent(now), ..flight }
        });
        let flight = flight.expect("a candidate's slot is in use");
        let prefilled_at = flight.prefilled_at;
        entry.phase = Phase::Flying(flight);
        tickets.expect_prefilled(prefilled_at, ticket);
    }

    /// Returns the booking that `ticket` holds, if it holds one.
    pub(super) fn release(&mut self, now: Time, ticket: Ticket) -> Option<Flight> {
        let entry = self.tickets.get_mut(ticket)?;
        let Phase::Flying(flight) = std::mem::replace(&mut entry.phase, Phase::Waiting) else { return None };
        self.ledger.returned += 1;
        let left = self.pool.update(flight.slot, |state| {
            state.account.take(&flight.booking);
            if flight.trial && !flight.judged {
                state.health.undecided(now);
            }
            state.health.leaving && state.account.is_empty()
        });
        if left.expect("a slot stays while work is in flight") {
            self.index.forget(flight.slot);
            self.pool.remove(flight.slot);
        }
        Some(flight)
    }

    /// Finds who may serve `ticket` now.
    fn collect_candidates(&mut self, now: Time, ticket: Ticket) {
        let Machine { tickets, pool, scratch, .. } = self;
        let Some(entry) = tickets.get(ticket) else { return };
        let ejected =
            |state: &EndpointState| state.health.ejection.is_some_and(|ejection| now < ejection.until);
        scratch.candidates.collect(pool.open(), |slots| {
            narrow(pool, entry, slots);
            let out = pool.watched().filter(|(_, state)| ejected(state));
            out.for_each(|(slot, _)| slots.remove(slot));
        });
        if scratch.candidates.all().is_empty() {
            // Every endpoint that could serve it is ejected: an error from one of them beats none from us.
            scratch.candidates.collect(pool.open(), |slots| narrow(pool, entry, slots));
        }
    }

    /// Runs the profile over the candidates: the chosen slot and the tokens expected in its cache.
    fn choose(&mut self, now: Time, ticket: Ticket, mut why: Option<&mut Why>) -> Option<(Slot, u32)> {
        let Machine { policy, pool, index, learned, tickets, rng, scratch, candidates, .. } = self;
        if scratch.candidates.all().is_empty() {
            return None;
        }
        candidates.clear();
        candidates.extend_from_slice(scratch.candidates.all());
        let request = &tickets.get(ticket)?.request;
        let profile = &mut policy.profile;
        let cycle = scratch.prepare((now, pool, index, learned), request, policy.shape, profile.predicts);
        let slots: Vec<Slot> = why.iter().flat_map(|_| pool.iter().map(|(slot, _)| slot)).collect();
        let reasons = why.as_deref_mut().map(|why| Reasons::new(&slots, &mut why.candidates));
        let slot = profile.choose(&cycle, candidates, rng, reasons)?;
        if let Some(why) = why {
            explain_predictions(&cycle, &mut why.candidates);
        }
        Some((slot, cycle.hit_tokens(slot)))
    }

    /// The reasons before any plugin ran: who is there and what keeps work away.
    fn reasons(&self, now: Time, entry: &Entry) -> Box<Why> {
        let candidates = self.pool.iter().map(|(_, state)| {
            let unsuited = entry.request.model.as_ref().is_some_and(|model| !state.models.serves(model));
            let failed = entry.excluded.contains(&state.endpoint.id);
            let dropped_by = state.health.barred(now).or(match (unsuited, failed) {
                (true, _) => Some("model not served"),
                (false, true) => Some("failed before"),
                (false, false) => None,
            });
            CandidateWhy { dropped_by, ..CandidateWhy::new(state.endpoint.id, state.endpoint.name.clone()) }
        });
        Box::new(Why {
            policy: self.policy.name,
            chosen: EndpointId(u32::MAX),
            candidates: candidates.collect(),
        })
    }
}

/// Keeps in `slots` those that serve what is asked and have not failed at it.
fn narrow(pool: &Pool, entry: &Entry, slots: &mut SlotSet) {
    if let Some(model) = &entry.request.model {
        pool.catalogue().keep_serving(model, slots);
    }
    for slot in entry.excluded.iter().filter_map(|endpoint| pool.slot(*endpoint)) {
        slots.remove(slot);
    }
}

fn explain_predictions(cycle: &Cycle<'_>, candidates: &mut [CandidateWhy]) {
    for candidate in candidates {
        let Some(slot) = cycle.pool.slot(candidate.endpoint) else { continue };
        let prediction = cycle.prediction(slot);
        candidate.ttft_s = prediction.ttft_s;
        candidate.tpot_s = prediction.tpot_s;
        candidate.hit_tokens = cycle.hit_tokens(slot);
    }
}
