//! The requests that the machine holds: waiting or in flight.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use roadstead_core::{EndpointId, Refusal, Request, Time};

use crate::cost::{Learned, Prediction};
use crate::pool::{Booking, EndpointState, Slot};
use crate::verdict::Ticket;

/// The longest time after which a request without a first byte counts as prefilled.
const PREFILL_EXPECTED_MAX: Duration = Duration::from_secs(3_600);

/// Where a request is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// In the wait queue.
    Waiting,
    /// On an endpoint.
    Flying(Flight),
}

/// A dispatched request.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) slot: Slot,
    pub(crate) endpoint: EndpointId,
    pub(crate) booking: Booking,
    /// Prompt tokens to compute that were ahead at dispatch.
    pub(crate) ahead_tokens: f64,
    /// Seconds to the first token that were not prefill, as predicted at dispatch.
    pub(crate) other_s: f64,
    /// Seconds to the first token, as predicted at dispatch.
    pub(crate) ttft_s: f64,
    /// When the prompt should be computed.
    pub(crate) prefilled_at: Time,
    /// Whether the time to the first token will tell of the endpoint's prefill speed.
    pub(crate) timed: bool,
    /// Whether it is the trial after an ejection.
    pub(crate) trial: bool,
    pub(crate) first_byte: Option<Time>,
    /// When output was last counted, and how much there was.
    pub(crate) counted: (Time, u32),
    /// Whether the endpoint was judged by it.
    pub(crate) judged: bool,
    /// Whether the answer is an error.
    pub(crate) error: bool,
}

impl Flight {
    /// A flight with `booking` to the endpoint `state` in `slot`, before the booking is given.
    pub(crate) fn new(
        slot: Slot,
        state: &EndpointState,
        booking: Booking,
        prediction: &Prediction,
        learned: &Learned,
    ) -> Flight {
        let foreign_tokens = f64::from(state.foreign.load().waiting) * learned.prompt_tokens.value();
        let ahead_tokens = state.account.prefill_tokens as f64 + foreign_tokens;
        let to_compute = ahead_tokens + f64::from(booking.uncached_tokens);
        let prefill_s = to_compute * state.speed.prefill_s_per_token();
        let ttft_s = f64::from(prediction.ttft_s);
        let expected = Duration::from_secs_f64(ttft_s.clamp(0.0, PREFILL_EXPECTED_MAX.as_secs_f64()));
        Flight {
            slot,
            endpoint: state.endpoint.id,
            ahead_tokens,
            other_s: (ttft_s - prefill_s).max(0.0),
            ttft_s,
            prefilled_at: booking.at + expected,
            // Where it waits for others to finish, or has no prompt, its first byte says nothing of prefill.
            timed: booking.prompt_tokens > 0 && prediction.queued_s <= 0.0,
            trial: false,
            first_byte: None,
            counted: (booking.at, 0),
            judged: false,
            error: false,
            booking,
        }
    }
}

/// A request in the machine.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) request: Request,
    pub(crate) arrived: Time,
    pub(crate) phase: Phase,
    /// Endpoints that failed at it.
    pub(crate) excluded: Vec<EndpointId>,
    /// What its last failure is called, should nothing be left to try.
    pub(crate) refusal: Refusal,
    pub(crate) resends: u32,
}

/// All requests of a machine, by ticket.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    entries: Vec<(u32, Option<Entry>)>,
    free: Vec<u32>,
    /// When the prompt of a request that shows no first byte before its end should be computed.
    prefilled: BinaryHeap<Reverse<(Time, Ticket)>>,
}

impl Tickets {
    pub(crate) fn insert(&mut self, entry: Entry) -> Ticket {
        match self.free.pop() {
            Some(slot) => {
                let place = &mut self.entries[slot as usize];
                place.1 = Some(entry);
                Ticket { slot, generation: place.0 }
            }
            None => {
                self.entries.push((0, Some(entry)));
                Ticket { slot: (self.entries.len() - 1) as u32, generation: 0 }
            }
        }
    }

    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        let (generation, entry) = self.entries.get_mut(ticket.slot as usize)?;
        if *generation == ticket.generation { entry.as_mut() } else { None }
    }

    pub(crate) fn get(&self, ticket: Ticket) -> Option<&Entry> {
        let (generation, entry) = self.entries.get(ticket.slot as usize)?;
        if *generation == ticket.generation { entry.as_ref() } else { None }
    }

    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Entry> {
        let (generation, entry) = self.entries.get_mut(ticket.slot as usize)?;
        if *generation != ticket.generation {
            return None;
        }
        let entry = entry.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(ticket.slot);
        Some(entry)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ticket, &Entry)> {
        self.entries.iter().enumerate().filter_map(|(slot, (generation, entry))| {
            let ticket = Ticket { slot: slot as u32, generation: *generation };
            entry.as_ref().map(|entry| (ticket, entry))
        })
    }

    /// The prompt of `ticket` should be computed by `at`.
    pub(crate) fn expect_prefilled(&mut self, at: Time, ticket: Ticket) {
        self.prefilled.push(Reverse((at, ticket)));
    }

    /// A ticket whose prompt should be computed by now.
    pub(crate) fn pop_prefilled(&mut self, now: Time) -> Option<Ticket> {
        let Reverse((at, ticket)) = *self.prefilled.peek()?;
        if at > now {
            return None;
        }
        self.prefilled.pop();
        Some(ticket)
    }
}
