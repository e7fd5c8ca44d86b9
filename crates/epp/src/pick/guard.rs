//! The right to one ticket. Dropping it closes the ticket, whatever happened.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use roadstead_core::{Endpoint, Request, Time};
use roadstead_picker::{Event, Ticket};

use super::desk::{Next, Shared};

/// Holds a ticket open. When it is dropped open, the machine hears that the client is gone.
pub(crate) struct TicketGuard {
    shared: Arc<Shared>,
    ticket: Ticket,
    open: bool,
}

impl TicketGuard {
    /// Offers `request`: the guard of its ticket, and the verdict if there is one already.
    pub(super) fn offer(shared: &Arc<Shared>, now: Time, request: Request) -> (TicketGuard, Option<Next>) {
        let (ticket, next) = shared.offer(now, request);
        let mut guard = TicketGuard { shared: shared.clone(), ticket, open: true };
        let next = next.map(|next| guard.taken(next));
        (guard, next)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Tells the machine of the try under way at `at`. If the machine has meanwhile sent the request elsewhere,
    /// the answer came first and counts.
    pub(crate) fn tell(&mut self, now: Time, at: &Endpoint, events: &[Event]) {
        if !self.open {
            return;
        }
        if self.overtaken() {
            self.progress(now, &[Event::ServedBy(at.id)]);
        }
        self.progress(now, events);
    }

    /// Tells the machine of a failure and returns what it says to that, if it says it at once.
    pub(crate) fn tell_failure(&mut self, now: Time, event: Event) -> Option<Next> {
        // The machine may have left that try already; then its verdict stands.
        if let Some(next) = self.shared.claim(self.ticket, None) {
            return Some(self.taken(next));
        }
        self.shared.progress(now, self.ticket, &[event]).map(|next| self.taken(next))
    }

    /// Closes the ticket with the last events of the try at `at`.
    pub(crate) fn close(&mut self, now: Time, at: &Endpoint, last: &[Event]) {
        if self.open && self.overtaken() {
            self.progress(now, &[Event::ServedBy(at.id)]);
        }
        if std::mem::replace(&mut self.open, false) {
            self.shared.close(now, self.ticket, last);
        }
    }

    /// The next verdict on this ticket. Cancel safe: a verdict is kept until it is taken.
    pub(crate) async fn next(&mut self) -> Next {
        poll_fn(|cx| match self.shared.claim(self.ticket, Some(cx.waker())) {
            Some(next) => Poll::Ready(self.taken(next)),
            None => Poll::Pending,
        })
        .await
    }

    /// Whether the machine holds this ticket open.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the machine has decided on this ticket again without being asked.
    fn overtaken(&mut self) -> bool {
        match self.shared.claim(self.ticket, None) {
            Some(next) => {
                self.taken(next);
                self.open
            }
            None => false,
        }
    }

    fn progress(&mut self, now: Time, events: &[Event]) {
        if self.open
            && let Some(next) = self.shared.progress(now, self.ticket, events)
        {
            self.taken(next);
        }
    }

    fn taken(&mut self, next: Next) -> Next {
        if matches!(next, Next::Refused(_)) && std::mem::replace(&mut self.open, false) {
            // The machine has closed it; what is left of it here goes too.
            self.shared.close(self.shared.now(), self.ticket, &[]);
        }
        next
    }
}

impl Drop for TicketGuard {
    fn drop(&mut self) {
        if self.open {
            self.open = false;
            self.shared.close(self.shared.now(), self.ticket, &[Event::Gone]);
        }
    }
}
