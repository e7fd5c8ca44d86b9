//! Account: one dispatched request from its sending to its end.
//!
//! Fourth stage. An [`Exchange`] is held by whoever forwards the request; it tells the machine how it goes,
//! coalesced, and gathers what metrics and the access log need. Always holds: what was booked for the request
//! is released exactly once, on finish, on failure and on drop. Must not know how bytes travel.

mod asked;
mod timeline;

use std::sync::Arc;
use std::time::Duration;

use roadstead_core::{Endpoint, EngineState, Refusal, Time, Usage};
use roadstead_picker::{Event, Fact, Failure, FailureKind, Why};
use roadstead_telemetry::{Attempt, RequestHandles};

pub use asked::Asked;
pub use timeline::Timeline;

use crate::pick::{Dispatch, Next, TicketGuard};

/// Output tokens after which the machine is told again.
pub const TOKENS_REPORT_STEP: u32 = 32;
/// Time after which the machine is told of new output tokens, however few.
pub const TOKENS_REPORT_INTERVAL: Duration = Duration::from_millis(50);

/// First status of an error answer.
const ERROR_STATUS: u16 = 400;

/// A request at an endpoint.
pub struct Exchange {
    guard: TicketGuard,
    endpoint: Arc<Endpoint>,
    why: Option<Box<Why>>,
    asked: Asked,
    timeline: Timeline,
    /// Status of the answer under way.
    status: u16,
    /// Whether the machine has heard the status.
    judged: bool,
    /// Output so far as the machine knows it, and since when.
    reported: (Time, u32),
    tokens: u32,
    /// Series of its labels; only inference has them.
    handles: Option<Arc<RequestHandles>>,
    ended: bool,
}

impl Exchange {
    pub(crate) fn begin(
        guard: TicketGuard,
        asked: Asked,
        dispatch: Dispatch,
        timeline: Timeline,
    ) -> Exchange {
        let now = timeline.dispatched;
        let handles = asked.handles(&guard.shared().metrics);
        if let Some(handles) = &handles {
            handles.total.inc();
            handles.running.inc();
            handles.request_size_bytes.observe(asked.request_bytes as f64);
        }
        let mut exchange = Exchange {
            endpoint: dispatch.endpoint.clone(),
            guard,
            why: None,
            asked,
            timeline,
            status: 0,
            judged: false,
            reported: (now, 0),
            tokens: 0,
            handles,
            ended: false,
        };
        exchange.send_to(dispatch, now);
        exchange
    }

    /// Where the request is, or is to be sent now.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Why it is there, where the client asked.
    pub fn why(&self) -> Option<&Why> {
        self.why.as_deref()
    }

    /// What was asked for.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// What happened when.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Output tokens counted so far.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// A response head arrived. An error is told at once, success with the first byte: a head alone says
    /// little of an endpoint that sends it before it begins to work.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
        if status >= ERROR_STATUS {
            let now = self.guard.shared().now();
            self.tell(now, None);
        }
    }

    /// A first byte of the body arrived, and goes to the client.
    pub fn first_byte(&mut self) {
        let now = self.guard.shared().now();
        self.timeline.first_byte.get_or_insert(now);
        self.tell(now, None);
    }

    /// A piece of a stream passed; the stream has brought `tokens` output tokens so far.
    pub fn streamed(&mut self, tokens: u32) {
        let now = self.guard.shared().now();
        let new = tokens > self.tokens;
        if new && self.timeline.first_token.is_none() {
            self.timeline.first_token = Some(now);
            self.tell(now, Some(Event::FirstByte));
        } else if new {
            self.between_chunks(now);
        }
        self.tokens = tokens;
        self.timeline.last_token = now;
        let (since, told) = self.reported;
        let due = tokens >= told.saturating_add(TOKENS_REPORT_STEP)
            || (tokens > told && now.since(since) >= TOKENS_REPORT_INTERVAL);
        if due {
            self.reported = (now, tokens);
            self.tell(now, Some(Event::Tokens(tokens)));
        }
    }

    /// A load header came with the answer.
    pub fn load(&self, state: EngineState) {
        self.guard.shared().observe(Fact::Load { endpoint: self.endpoint.id, state });
    }

    /// The answer has ended as it should. `usage` is what it told; what it did not is filled from what was
    /// counted.
    pub fn finished(&mut self, usage: Usage, response_bytes: u64) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now = self.guard.shared().now();
        let counted = (self.tokens > 0).then_some(self.tokens);
        let usage = Usage { output_tokens: usage.output_tokens.or(counted), ..usage };
        self.timeline.ended = Some(now);
        self.timeline.usage = usage;
        let status = self.unsaid();
        let last = [status.unwrap_or(Event::Finished(usage)), Event::Finished(usage)];
        self.guard.close(now, &self.endpoint, if status.is_some() { &last } else { &last[1..] });
        if let Some(handles) = self.handles.take() {
            handles.running.dec();
            if self.status >= ERROR_STATUS {
                handles.error(&self.status.to_string());
            } else {
                self.timeline.observe(&handles, &self.asked, response_bytes);
            }
        }
    }

    /// The exchange broke and is over: the answer had begun, or its request is not at hand any more.
    pub fn broke(&mut self, kind: FailureKind) {
        let failure = Failure { endpoint: self.endpoint.id, kind, offer_again: false };
        let now = self.guard.shared().now();
        if self.guard.is_open() {
            self.guard.tell_failure(now, Event::Failed(failure));
        }
        self.end(now, "endpoint_failed");
    }

    /// The exchange broke before the client saw anything, and the whole request is still at hand: where to
    /// send it next. [`Exchange::endpoint`] is the new place then.
    ///
    /// # Errors
    /// The machine's refusal, which closes the account.
    pub async fn failed(&mut self, kind: FailureKind) -> Result<(), Refusal> {
        let failure = Failure { endpoint: self.endpoint.id, kind, offer_again: true };
        let now = self.guard.shared().now();
        let next = match self.guard.tell_failure(now, Event::Failed(failure)) {
            Some(next) => next,
            None => self.guard.next().await,
        };
        self.follow(next)
    }

    /// Waits until the machine sends the request elsewhere while it is at an endpoint, because that endpoint
    /// is found dead or hung. Cancel safe.
    ///
    /// # Errors
    /// The request is evicted.
    pub async fn moved(&mut self) -> Result<(), Refusal> {
        let next = self.guard.next().await;
        self.follow(next)
    }

    fn follow(&mut self, next: Next) -> Result<(), Refusal> {
        let now = self.guard.shared().now();
        match next {
            Next::Send(dispatch) => {
                self.send_to(dispatch, now);
                Ok(())
            }
            Next::Refused(refusal) => {
                self.end(now, refusal.status().code);
                Err(refusal)
            }
        }
    }

    fn send_to(&mut self, dispatch: Dispatch, now: Time) {
        self.endpoint = dispatch.endpoint;
        self.why = dispatch.why.or(self.why.take());
        self.timeline.attempts += 1;
        self.timeline.dispatched = now;
        self.status = 0;
        self.judged = false;
        self.reported = (now, 0);
        let port = self.endpoint.authority.rsplit_once(':').map_or("", |(_, port)| port);
        self.guard.shared().metrics.scheduler.attempt(&Attempt {
            status: "success",
            target_model: self.asked.target.as_deref().unwrap_or_default(),
            endpoint: &self.endpoint.name,
            namespace: "",
            port,
        });
    }

    /// Tells the machine the status, if it has not heard it, and `event`.
    fn tell(&mut self, now: Time, event: Option<Event>) {
        let status = self.unsaid();
        match (status, event) {
            (Some(status), Some(event)) => self.guard.tell(now, &self.endpoint, &[status, event]),
            (Some(event), None) | (None, Some(event)) => self.guard.tell(now, &self.endpoint, &[event]),
            (None, None) => {}
        }
    }

    fn unsaid(&mut self) -> Option<Event> {
        let unsaid = self.status != 0 && !std::mem::replace(&mut self.judged, true);
        unsaid.then_some(Event::Answered { status: self.status })
    }

    fn between_chunks(&self, now: Time) {
        if let Some(handles) = &self.handles {
            handles.streaming_itl_seconds.observe(now.since(self.timeline.last_token).as_secs_f64());
        }
    }

    /// Ends the account of a request that was not answered as it should.
    fn end(&mut self, now: Time, code: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.timeline.ended = Some(now);
        if let Some(handles) = self.handles.take() {
            handles.running.dec();
            handles.error(code);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // The guard closes the ticket.
        let now = self.guard.shared().now();
        self.end(now, Refusal::ClientGone.status().code);
    }
}

#[cfg(test)]
mod tests;
