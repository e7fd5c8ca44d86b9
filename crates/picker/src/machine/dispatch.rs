//! Placing a ticket: candidates, choice, booking.

use std::time::Duration;

use roadstead_core::{EndpointId, Placement, Refusal, Time};

use super::Machine;
use crate::cost::{Demand, Prediction, predict};
use crate::pool::{Booking, EndpointState, Slot};
use crate::schedule::Cycle;
use crate::tickets::{Entry, Flight, Phase};
use crate::verdict::{CandidateWhy, Ticket, Verdict, Why};

/// The longest time after which a request without a first byte counts as prefilled.
const PREFILL_EXPECTED_MAX: Duration = Duration::from_secs(3_600);

impl Machine {
    /// Tries to place `ticket`; true when a dispatch was decided. A ticket in flight stays where it is otherwise.
    pub(super) fn place(&mut self, now: Time, ticket: Ticket) -> bool {
        let Some(entry) = self.tickets.get(ticket) else { return false };
        let mut why = entry.request.explain.then(|| self.reasons(now, entry));
        let mut candidates = std::mem::take(&mut self.candidates);
        self.collect_candidates(now, entry, &mut candidates);
        let choice = if candidates.is_empty() {
            None
        } else {
            self.choose(now, ticket, &mut candidates, why.as_deref_mut())
        };
        self.candidates = candidates;
        let Some((slot, hit_tokens)) = choice else { return false };
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
        let untried = |state: &EndpointState| !state.health.leaving && fits(entry, state);
        if !entry.excluded.is_empty() && !self.pool.iter().any(|(_, state)| untried(state)) {
            return self.refuse(ticket, entry.refusal);
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
        let mut present = self.pool.iter().filter(|(_, state)| !state.health.leaving).peekable();
        present.peek().is_some() && present.all(|(_, state)| !state.models.serves(model))
    }

    /// Books `ticket` on `slot`, in place of the booking that it may hold.
    pub(super) fn dispatch(&mut self, now: Time, ticket: Ticket, slot: Slot, hit_tokens: u32) {
        self.release(now, ticket);
        let Machine { tickets, pool, index, learned, ledger, .. } = self;
        let Some(entry) = tickets.get_mut(ticket) else { return };
        let request = &entry.request;
        let state = pool.get_mut(slot).expect("a candidate's slot is in use");

        let demand = Demand::of(request, learned);
        let adapter = request.model.as_ref().filter(|model| state.models.is_adapter(model));
        let place = adapter.map(|adapter| state.models.place(adapter, &state.reported));
        let Prediction { ttft_s, queued_s, .. } = predict(learned, state, &demand, hit_tokens, place);
        let booking = Booking::new(now, &request.work, hit_tokens);
        let foreign_tokens = f64::from(state.foreign.load().waiting) * learned.prompt_tokens.value();
        let ahead_tokens = state.account.prefill_tokens as f64 + foreign_tokens;
        let prefill_s =
            (ahead_tokens + f64::from(booking.uncached_tokens)) * state.speed.prefill_s_per_token();

        state.account.give(&booking);
        state.foreign.own(state.account.sequences);
        state.unscraped_tokens += u64::from(booking.uncached_tokens);
        let trial = state.health.sent(now);
        if let Some(adapter) = adapter {
            let slots = state.reported.adapters.as_ref().map_or(1, |fact| fact.value.slots as usize);
            state.models.used(now, adapter, slots);
        }
        state.history = index.record(now, slot, &request.prefix);
        ledger.given += 1;
        let expected = Duration::from_secs_f64(ttft_s.clamp(0.0, PREFILL_EXPECTED_MAX.as_secs_f64()));
        let prefilled_at = now + expected;
        // Where it waits for others to finish, or has no prompt, the time to its first byte says nothing of prefill.
        let timed = booking.prompt_tokens > 0 && queued_s <= 0.0;
        entry.phase = Phase::Flying(Flight {
            slot,
            endpoint: state.endpoint.id,
            booking,
            ahead_tokens,
            other_s: (ttft_s - prefill_s).max(0.0),
            ttft_s,
            prefilled_at,
            timed,
            trial,
            first_byte: None,
            counted: (now, 0),
            judged: false,
            error: false,
        });
        tickets.expect_prefilled(prefilled_at, ticket);
    }

    /// Returns the booking that `ticket` holds, if it holds one.
    pub(super) fn release(&mut self, now: Time, ticket: Ticket) -> Option<Flight> {
        let entry = self.tickets.get_mut(ticket)?;
        let Phase::Flying(flight) = std::mem::replace(&mut entry.phase, Phase::Waiting) else { return None };
        self.ledger.returned += 1;
        let state = self.pool.get_mut(flight.slot).expect("a slot stays while work is in flight");
        state.account.take(&flight.booking);
        if flight.trial && !flight.judged {
            state.health.undecided(now);
        }
        if state.health.leaving && state.account.is_empty() {
            self.index.forget(flight.slot);
            self.pool.remove(flight.slot);
        }
        Some(flight)
    }

    fn collect_candidates(&self, now: Time, entry: &Entry, candidates: &mut Vec<Slot>) {
        candidates.clear();
        let ready = |state: &EndpointState| state.health.barred(now).is_none() && fits(entry, state);
        candidates.extend(self.pool.iter().filter(|(_, state)| ready(state)).map(|(slot, _)| slot));
        if candidates.is_empty() {
            // Every endpoint that could serve it is ejected: an error from one of them beats none from us.
            let last_resort = |state: &EndpointState| state.health.only_ejected() && fits(entry, state);
            candidates.extend(self.pool.iter().filter(|(_, state)| last_resort(state)).map(|(slot, _)| slot));
        }
    }

    /// Runs the profile over `candidates`: the chosen slot and the tokens expected in its cache.
    fn choose(
        &mut self,
        now: Time,
        ticket: Ticket,
        candidates: &mut Vec<Slot>,
        mut why: Option<&mut Why>,
    ) -> Option<(Slot, u32)> {
        let Machine { policy, pool, index, learned, tickets, rng, scratch, .. } = self;
        let request = &tickets.get(ticket)?.request;
        let profile = &mut policy.profile;
        let cycle =
            scratch.prepare((now, pool, index, learned), request, policy.shape, candidates, profile.predicts);
        let reasons = why.as_deref_mut().map(|why| why.candidates.as_mut_slice());
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

/// Whether `state` serves what is asked and has not failed at it.
fn fits(entry: &Entry, state: &EndpointState) -> bool {
    entry.request.model.as_ref().is_none_or(|model| state.models.serves(model))
        && !entry.excluded.contains(&state.endpoint.id)
}

fn explain_predictions(cycle: &Cycle<'_>, candidates: &mut [CandidateWhy]) {
    for candidate in candidates {
        let Some(slot) = cycle.pool.slot(candidate.endpoint) else { continue };
        let prediction = cycle.prediction(slot);
        candidate.ttft_s = prediction.ttft_s as f32;
        candidate.tpot_s = prediction.tpot_s as f32;
        candidate.hit_tokens = cycle.hit_tokens(slot);
    }
}
