//! Requests that no endpoint can take now, in order of arrival. Bounded; each waits with a deadline of its own.

use std::collections::BTreeMap;

use roadstead_core::Time;

use crate::verdict::Ticket;

/// The wait queue.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    // A request that is offered again keeps its first arrival, so order is by arrival, not by entry.
    waiting: BTreeMap<(Time, Ticket), Time>,
    length_max: usize,
}

impl WaitQueue {
    pub(crate) fn new(length_max: usize) -> WaitQueue {
        WaitQueue { waiting: BTreeMap::new(), length_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a request; false when the queue is full.
    pub(crate) fn push(&mut self, arrived: Time, ticket: Ticket, deadline: Time) -> bool {
        if self.waiting.len() >= self.length_max {
            return false;
        }
        self.waiting.insert((arrived, ticket), deadline);
        true
    }

    pub(crate) fn remove(&mut self, arrived: Time, ticket: Ticket) {
        self.waiting.remove(&(arrived, ticket));
    }

    /// The first `count` requests in order.
    pub(crate) fn heads(&self, count: usize) -> Vec<Ticket> {
        self.waiting.keys().take(count).map(|(_, ticket)| *ticket).collect()
    }

    /// The earliest deadline. All waits are equally long, so it is the first arrival's.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.waiting.values().next().copied()
    }

    /// A request whose deadline has passed.
    pub(crate) fn expired(&self, now: Time) -> Option<Ticket> {
        self.waiting.iter().next().filter(|(_, deadline)| **deadline <= now).map(|((_, ticket), _)| *ticket)
    }
}
