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
            Event::Gone => self.close(now, ticket),
        }
    }

    /// Offers a ticket that hangs again, elsewhere. It stays where it is if there is no elsewhere: false when
    /// that may change.
    pub(super) fn offer_again(&mut self, now: Time, ticket: Ticket) -> bool {
        match self.try_again(now, ticket) {
            Again::Dispatched | Again::NotAllowed => true,
            Again::NoRoom => {
                self.budget.give_back();
                if let Some(entry) = self.tickets.get_mut(ticket) {
                    entry.resends -= 1;
                }
                false
            }
        }
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
        flight.judged = true;
        flight.error = status >= 400;
        flight.timed &= !flight.error;
        pool.update(flight.slot, |state| match status {
            500.. => state.health.failed(now, limits, flight.trial),
            _ => state.health.succeeded(),
        });
    }

    fn finished(&mut self, now: Time, ticket: Ticket, usage: Usage) {
        self.learn(ticket, |flight, state, learned| {
            if flight.error {
                return;
            }
            if let Some(tokens) = usage.output_tokens {
                if flight.first_byte.is_some() {
                    count_tokens(now, flight, state, learned, tokens);
                } else {
                    whole_answer(now, flight, state, learned, tokens);
                }
            }
            let counted = Some(flight.booking.output_tokens).filter(|tokens| *tokens > 0);
            if let Some(tokens) = usage.output_tokens.or(counted) {
                learned.output_tokens.add(f64::from(tokens) / sequences(flight));
            }
            if flight.booking.prompt_tokens > 0 {
                learned.prompt_tokens.add(f64::from(flight.booking.prompt_tokens));
            }
        });
        self.close(now, ticket);
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
        let refusal = refusal_of(failure.kind);
        self.judge(now, ticket, failure.kind);
        if let Some(entry) = self.tickets.get_mut(ticket) {
            entry.refusal = refusal;
        }
        match if may { self.try_again(now, ticket) } else { Again::NotAllowed } {
            Again::Dispatched => {}
            Again::NoRoom => {
                self.release(now, ticket);
                self.wait_or_refuse(now, ticket);
            }
            Again::NotAllowed => {
                self.release(now, ticket);
                self.refuse(ticket, refusal);
            }
        }
    }

    /// What a failed exchange says of its endpoint.
    fn judge(&mut self, now: Time, ticket: Ticket, kind: FailureKind) {
        let Machine { tickets, pool, limits, .. } = self;
        let Some(Entry { phase: Phase::Flying(flight), .. }) = tickets.get_mut(ticket) else { return };
        pool.update(flight.slot, |state| match kind {
            // A trial that ends so has told nothing of the exchange itself; releasing it frees the next.
            FailureKind::Connect => state.health.unreachable(now, limits),
            FailureKind::Overloaded => {}
            _ if !std::mem::replace(&mut flight.judged, true) => {
                state.health.failed(now, limits, flight.trial);
            }
            _ => {}
        });
    }

    fn served_by(&mut self, now: Time, ticket: Ticket, endpoint: EndpointId) {
        let Some(slot) = self.pool.slot(endpoint) else { return };
        let Some(Entry { phase: Phase::Flying(flight), .. }) = self.tickets.get(ticket) else { return };
        if flight.endpoint == endpoint {
            return;
        }
        let first_byte = flight.first_byte;
        self.dispatch(now, ticket, slot, 0);
        self.learn(ticket, |flight, state, _| {
            // What was ahead of it when it was sent is not known.
            flight.timed = false;
            flight.first_byte = first_byte;
            if first_byte.is_some() {
                state.account.prefilled(&mut flight.booking);
            }
        });
    }

    fn close(&mut self, now: Time, ticket: Ticket) {
        self.release(now, ticket);
        if let Some(entry) = self.tickets.remove(ticket) {
            self.queue.remove(entry.arrived, ticket);
        }
    }

    fn learn(&mut self, ticket: Ticket, learn: impl FnOnce(&mut Flight, &mut EndpointState, &mut Learned)) {
        let Machine { tickets, pool, learned, .. } = self;
        let Some(Entry { phase: Phase::Flying(flight), .. }) = tickets.get_mut(ticket) else { return };
        pool.update(flight.slot, |state| {
            learn(flight, state, learned);
            state.speed.shrink_towards(&learned.speed);
        });
        pool.set_prompt_tokens_mean(learned.prompt_tokens.value());
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
    if !state.health.stood_still(flight.booking.at) {
        sample_prefill((seconds - flight.other_s).max(0.0), flight, state, learned);
    }
    state.account.prefilled(&mut flight.booking);
    flight.first_byte = Some(now);
    flight.counted = (now, flight.booking.output_tokens);
}

fn sample_prefill(seconds: f64, flight: &Flight, state: &mut EndpointState, learned: &mut Learned) {
    if !flight.timed {
        return;
    }
    let sample = FirstTokenSample {
        seconds,
        ahead_tokens: flight.ahead_tokens,
        uncached_tokens: f64::from(flight.booking.uncached_tokens),
        prompt_tokens: f64::from(flight.booking.prompt_tokens),
    };
    state.speed.first_token(&sample);
    learned.speed.first_token(&sample);
    learned.speed.settle_pool();
}

fn sequences(flight: &Flight) -> f64 {
    f64::from(flight.booking.sequences.max(1))
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
    if state.health.stood_still(since) {
        return;
    }
    let steps = f64::from(new) / sequences(flight);
    sample_decode(now.since(since).as_secs_f64(), steps, state, learned);
}

/// An answer that came whole: its time is shared out between prefill and decoding as predicted.
fn whole_answer(
    now: Time,
    flight: &mut Flight,
    state: &mut EndpointState,
    learned: &mut Learned,
    tokens: u32,
) {
    state.account.grown(&mut flight.booking, tokens);
    if state.health.stood_still(flight.booking.at) {
        return;
    }
    let seconds = now.since(flight.booking.at).as_secs_f64();
    let steps = f64::from(tokens) / sequences(flight);
    let decoding_s = state.speed.step_scale() * generic_decode_s(steps, state, learned);
    let over_predicted = seconds / (decoding_s + flight.ttft_s).max(f64::MIN_POSITIVE);
    sample_prefill(over_predicted * (flight.ttft_s - flight.other_s), flight, state, learned);
    if tokens >= DECODE_SAMPLE_TOKENS_MIN {
        sample_decode(over_predicted * decoding_s, steps, state, learned);
    }
}

fn sample_decode(seconds: f64, steps: f64, state: &mut EndpointState, learned: &mut Learned) {
    let generic_s = generic_decode_s(steps, state, learned);
    state.speed.decoded(seconds, generic_s);
    learned.speed.decoded(seconds, generic_s);
    learned.speed.settle_pool();
}

/// Seconds that the generic engine would take for `steps` decode steps beside what is there now.
fn generic_decode_s(steps: f64, state: &EndpointState, learned: &Learned) -> f64 {
    let foreign = f64::from(state.foreign.load().running);
    let sequences = f64::from(state.account.decoding) + foreign;
    let context = state.account.context_tokens as f64 + foreign * learned.prompt_tokens.value();
    steps * decode_step_s(sequences, context)
}
