//! Progress of dispatched requests.

use roadstead_core::{EndpointId, Refusal, RetryClass, Time, Usage};

use super::Machine;
use crate::cost::{FirstTokenSample, Learned, decode_step_s};
use crate::event::Event;
use crate::fact::{Failure, FailureKind};
use crate::pool::EndpointState;
use crate::tickets::{Entry, Flight, Phase};
use crate::verdict::Ticket;

/// Output tokens below which the time of a decode says too little.
const DECODE_SAMPLE_TOKENS_MIN: u32 = 8;

/// What came of offering a ticket again.
enum Again {
    /// It was dispatched elsewhere.
    Dispatched,
    /// It may be, but nothing can take it now.
    NoRoom,
    /// Its tries or the budget are used up.
    NotAllowed,
}

impl Machine {
    /// Takes over what became of a ticket. Unknown and closed tickets are ignored.
    pub fn progress(&mut self, now: Time, ticket: Ticket, event: Event) {
        match event {
            Event::Sent => {}
            Event::Answered { status } => self.answered(now, ticket, status),
            Event::FirstByte => {
                self.learn(ticket, |flight, state, learned| first_byte(now, flight, state, learned))
            }
            Event::Tokens(tokens) => self.learn(ticket, |flight, state, learned| {
                count_tokens(now, flight, state, learned, tokens);
            }),
            Event::ServedBy(endpoint) => self.served_by(now, ticket, endpoint),
            Event::Finished(usage) => self.finished(now, ticket, usage),
            Event::Failed(failure) => self.failed(now, ticket, failure),
            Event::Gone => self.close(ticket),
        }
    }

    /// Offers a ticket that hangs again, elsewhere. It stays where it is if there is no elsewhere.
    pub(super) fn offer_again(&mut self, now: Time, ticket: Ticket) {
        self.try_again(now, ticket);
    }

    fn try_again(&mut self, now: Time, ticket: Ticket) -> Again {
        let Some(entry) = self.tickets.get_mut(ticket) else { return Again::NotAllowed };
        let Phase::Flying(flight) = &entry.phase else { return Again::NotAllowed };
        if entry.resends >= self.limits.resends_max || !self.budget.take(now) {
            return Again::NotAllowed;
        }
        if !entry.excluded.contains(&flight.endpoint) {
            entry.excluded.push(flight.endpoint);
        }
        entry.resends += 1;
        if self.place(now, ticket) { Again::Dispatched } else { Again::NoRoom }
    }

    fn answered(&mut self, now: Time, ticket: Ticket, status: u16) {
        let Machine { tickets, pool, limits, .. } = self;
        let Some(Entry { phase: Phase::Flying(flight), .. }) = tickets.get_mut(ticket) else { return };
        let Some(state) = pool.get_mut(flight.slot) else { return };
        flight.judged = true;
        if status >= 500 { state.health.failed(now, limits) } else { state.health.succeeded() }
    }

    fn finished(&mut self, now: Time, ticket: Ticket, usage: Usage) {
        self.learn(ticket, |flight, state, learned| {
            if let Some(tokens) = usage.output_tokens {
                if flight.first_byte.is_some() {
                    count_tokens(now, flight, state, learned, tokens);
                } else {
                    whole_answer(now, flight, state, learned, tokens);
                }
            }
            let tokens = usage.output_tokens.unwrap_or(flight.booking.output_tokens);
            if tokens > 0 {
                learned.output_tokens.add(f64::from(tokens) / f64::from(flight.booking.sequences));
            }
            learned.prompt_tokens.add(f64::from(flight.booking.prompt_tokens));
        });
        self.close(ticket);
    }

    fn failed(&mut self, now: Time, ticket: Ticket, failure: Failure) {
        let Some(entry) = self.tickets.get(ticket) else { return };
        let Phase::Flying(flight) = &entry.phase else { return };
        // A try that was left for another may still report; the ticket is elsewhere by then.
        if flight.endpoint != failure.endpoint {
            return;
        }
        let may = failure.offer_again
            && (entry.request.retry == RetryClass::UntilFirstByte || failure.kind.unprocessed());
        self.judge(now, ticket, failure.kind);
        match if may { self.try_again(now, ticket) } else { Again::NotAllowed } {
            Again::Dispatched => {}
            Again::NoRoom => {
                self.release(ticket);
                self.wait_or_refuse(now, ticket);
            }
            Again::NotAllowed => {
                self.release(ticket);
                self.refuse(ticket, refusal_of(failure.kind));
            }
        }
    }

    /// What a failed exchange says of its endpoint.
    fn judge(&mut self, now: Time, ticket: Ticket, kind: FailureKind) {
        let Machine { tickets, pool, limits, .. } = self;
        let Some(Entry { phase: Phase::Flying(flight), .. }) = tickets.get_mut(ticket) else { return };
        let Some(state) = pool.get_mut(flight.slot) else { return };
        let judged = std::mem::replace(&mut flight.judged, true);
        match kind {
            FailureKind::Connect => state.health.unreachable(now),
            FailureKind::Overloaded => state.health.undecided(),
            _ if !judged => state.health.failed(now, limits),
            _ => {}
        }
    }

    fn served_by(&mut self, now: Time, ticket: Ticket, endpoint: EndpointId) {
        let Some(slot) = self.pool.slot(endpoint) else { return };
        let Some(Entry { phase: Phase::Flying(flight), .. }) = self.tickets.get(ticket) else { return };
        if flight.endpoint != endpoint {
            self.dispatch(now, ticket, slot, 0);
        }
    }

    fn close(&mut self, ticket: Ticket) {
        // A client that left before the head says nothing of the endpoint; a trial after an ejection is free again.
        if let Some(Entry { phase: Phase::Flying(flight), .. }) = self.tickets.get(ticket)
            && !flight.judged
            && let Some(state) = self.pool.get_mut(flight.slot)
        {
            state.health.undecided();
        }
        self.release(ticket);
        if let Some(entry) = self.tickets.remove(ticket) {
            self.queue.remove(entry.arrived, ticket);
        }
    }

    fn learn(&mut self, ticket: Ticket, learn: impl FnOnce(&mut Flight, &mut EndpointState, &mut Learned)) {
        let Some(Entry { phase: Phase::Flying(flight), .. }) = self.tickets.get_mut(ticket) else { return };
        let Some(state) = self.pool.get_mut(flight.slot) else { return };
        learn(flight, state, &mut self.learned);
        state.speed.shrink_towards(&self.learned.speed);
    }
}

fn refusal_of(kind: FailureKind) -> Refusal {
    match kind {
        FailureKind::Protocol => Refusal::UpstreamProtocol,
        FailureKind::Timeout => Refusal::UpstreamTimeout,
        FailureKind::Overloaded => Refusal::NoEndpoint,
        FailureKind::Connect | FailureKind::Reset | FailureKind::Truncated => Refusal::UpstreamFailed,
    }
}

fn first_byte(now: Time, flight: &mut Flight, state: &mut EndpointState, learned: &mut Learned) {
    if flight.first_byte.is_some() {
        return;
    }
    let seconds = now.since(flight.booking.at).as_secs_f64();
    let sample = FirstTokenSample {
        seconds: (seconds - flight.other_s).max(0.0),
        ahead_tokens: flight.ahead_tokens,
        uncached_tokens: f64::from(flight.booking.uncached_tokens),
        prompt_tokens: f64::from(flight.booking.prompt_tokens),
    };
    state.speed.first_token(&sample);
    learned.speed.first_token(&sample);
    learned.speed.settle_pool();
    state.account.prefilled(&mut flight.booking);
    flight.first_byte = Some(now);
    flight.counted = (now, flight.booking.output_tokens);
}

fn count_tokens(
    now: Time,
    flight: &mut Flight,
    state: &mut EndpointState,
    learned: &mut Learned,
    tokens: u32,
) {
    state.account.grown(&mut flight.booking, tokens);
    let (since, before) = flight.counted;
    let new = tokens.saturating_sub(before);
    if flight.first_byte.is_none() || new < DECODE_SAMPLE_TOKENS_MIN {
        return;
    }
    flight.counted = (now, tokens);
    let steps = f64::from(new) / f64::from(flight.booking.sequences);
    sample_decode(now.since(since).as_secs_f64(), steps, state, learned);
}

/// An answer that came whole: what was not the predicted first token was decoding.
fn whole_answer(
    now: Time,
    flight: &mut Flight,
    state: &mut EndpointState,
    learned: &mut Learned,
    tokens: u32,
) {
    state.account.grown(&mut flight.booking, tokens);
    if tokens < DECODE_SAMPLE_TOKENS_MIN {
        return;
    }
    let seconds = now.since(flight.booking.at).as_secs_f64() - flight.ttft_s;
    let steps = f64::from(tokens) / f64::from(flight.booking.sequences);
    sample_decode(seconds.max(0.0), steps, state, learned);
}

fn sample_decode(seconds: f64, steps: f64, state: &mut EndpointState, learned: &mut Learned) {
    let foreign = f64::from(state.foreign.load().running);
    let sequences = f64::from(state.account.decoding) + foreign;
    let context = state.account.context_tokens as f64 + foreign * learned.prompt_tokens.value();
    let generic_s = steps * decode_step_s(sequences, context);
    state.speed.decoded(seconds, generic_s);
    learned.speed.decoded(seconds, generic_s);
    learned.speed.settle_pool();
}
