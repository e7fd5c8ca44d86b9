//! A machine with endpoints, and words for what a test does to it.

use std::sync::Arc;
use std::time::Duration;

use roadstead_core::{
    AdapterState, Endpoint, EndpointId, EngineState, ModelCard, Refusal, Request, RetryClass, Time, Usage,
    Work,
};
use roadstead_picker::invariants::{books_balance, empty_accounts_are_zero};
use roadstead_picker::pool::EndpointView;
use roadstead_picker::{Event, Fact, Failure, FailureKind, Limits, Machine, Policy, Ticket, Verdict, Why};

/// What the machine said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Send it there.
    Dispatch(Ticket, u32),
    /// Refuse it.
    Refuse(Ticket, Refusal),
}

pub struct Rig {
    pub machine: Machine,
    pub limits: Limits,
    pub now: Time,
}

impl Rig {
    /// `endpoints` endpoints that have answered a scrape.
    pub fn new(policy: &str, endpoints: u32) -> Rig {
        Rig::with_limits(policy, endpoints, Limits::default())
    }

    pub fn with_limits(policy: &str, endpoints: u32, limits: Limits) -> Rig {
        let policy = Policy::by_name(policy).expect("a known policy");
        let machine = Machine::new(policy, limits.clone(), 7);
        let mut rig = Rig { machine, limits, now: Time::from_millis(1) };
        for id in 0..endpoints {
            rig.join(id);
            rig.scrape(id);
        }
        rig
    }

    pub fn join(&mut self, id: u32) {
        let name: Arc<str> = format!("e{id}").into();
        self.observe(Fact::Joined(Endpoint { id: EndpointId(id), name: name.clone(), authority: name }));
    }

    pub fn scrape(&mut self, id: u32) {
        self.scrape_state(id, engine(0, 0));
    }

    pub fn scrape_state(&mut self, id: u32, state: EngineState) {
        self.observe(Fact::Scraped { endpoint: EndpointId(id), state });
    }

    pub fn models(&mut self, id: u32, base: &[&str], adapters: &[&str]) {
        let card = |name: &&str, parent: Option<&str>| ModelCard {
            id: (*name).into(),
            parent: parent.map(Into::into),
        };
        let models = base.iter().map(|name| card(name, None));
        let models = models.chain(adapters.iter().map(|name| card(name, Some("base")))).collect();
        self.observe(Fact::Models { endpoint: EndpointId(id), models });
    }

    pub fn observe(&mut self, fact: Fact) {
        self.machine.observe(self.now, fact);
    }

    pub fn silent(&mut self, id: u32) {
        self.observe(Fact::Silent(EndpointId(id)));
    }

    pub fn unreachable(&mut self, id: u32) {
        self.observe(Fact::Unreachable(EndpointId(id)));
    }

    pub fn drain(&mut self, id: u32, on: bool) {
        self.observe(Fact::Draining { endpoint: EndpointId(id), on });
    }

    pub fn leave(&mut self, id: u32) {
        self.observe(Fact::Left(EndpointId(id)));
    }

    pub fn pass(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    /// Lets `ms` pass and does what is due.
    pub fn expire_after(&mut self, ms: u64) -> Vec<Said> {
        self.pass(ms);
        self.machine.expire(self.now);
        self.said()
    }

    pub fn offer(&mut self, request: Request) -> Ticket {
        self.machine.offer(self.now, request)
    }

    /// Offers a request that is dispatched at once: its ticket and where it goes.
    pub fn send(&mut self, request: Request) -> (Ticket, u32) {
        let ticket = self.offer(request);
        match self.said().as_slice() {
            [Said::Dispatch(dispatched, endpoint)] if *dispatched == ticket => (ticket, *endpoint),
            other => panic!("expected one dispatch, got {other:?}"),
        }
    }

    pub fn progress(&mut self, ticket: Ticket, event: Event) -> Vec<Said> {
        self.machine.progress(self.now, ticket, event);
        self.said()
    }

    pub fn fail(&mut self, ticket: Ticket, endpoint: u32, kind: FailureKind) -> Vec<Said> {
        let failure = Failure { endpoint: EndpointId(endpoint), kind, offer_again: true };
        self.progress(ticket, Event::Failed(failure))
    }

    pub fn first_byte(&mut self, ticket: Ticket) {
        self.progress(ticket, Event::Answered { status: 200 });
        self.progress(ticket, Event::FirstByte);
    }

    pub fn finish(&mut self, ticket: Ticket) {
        self.progress(ticket, Event::Finished(Usage::default()));
    }

    /// Sends requests until `count` of them went to `endpoint` and were answered with `status`.
    pub fn answer_on(&mut self, endpoint: u32, status: u16, count: usize) {
        let mut answered = 0;
        while answered < count {
            let (ticket, at) = self.send(request(8));
            if at == endpoint {
                self.progress(ticket, Event::Answered { status });
                answered += 1;
            }
            self.finish(ticket);
        }
    }

    /// Drains the verdicts and checks what always holds.
    pub fn said(&mut self) -> Vec<Said> {
        let said = std::iter::from_fn(|| self.machine.next_verdict())
            .map(|verdict| match verdict {
                Verdict::Dispatch { ticket, placement, .. } => {
                    Said::Dispatch(ticket, placement.decode.first().0)
                }
                Verdict::Refuse { ticket, refusal } | Verdict::Evict { ticket, refusal } => {
                    Said::Refuse(ticket, refusal)
                }
            })
            .collect();
        let view = self.machine.view(self.now);
        assert!(books_balance(self.machine.ledger(), &view), "{:?}", self.machine.ledger());
        assert!(empty_accounts_are_zero(&view));
        said
    }

    pub fn why(&mut self, request: Request) -> Why {
        self.machine.offer(self.now, Request { explain: true, ..request });
        match self.machine.next_verdict() {
            Some(Verdict::Dispatch { why: Some(why), .. }) => *why,
            other => panic!("expected a dispatch with reasons, got {other:?}"),
        }
    }

    pub fn view(&self, id: u32) -> EndpointView {
        let view = self.machine.view(self.now);
        view.endpoints
            .into_iter()
            .find(|endpoint| endpoint.id == EndpointId(id))
            .expect("an endpoint of the pool")
    }

    pub fn queued(&self) -> usize {
        self.machine.view(self.now).queued
    }

    /// Where the next `count` requests go, all finished at once.
    pub fn spread(&mut self, count: usize) -> Vec<u32> {
        (0..count)
            .map(|_| {
                let (ticket, endpoint) = self.send(request(8));
                self.finish(ticket);
                endpoint
            })
            .collect()
    }
}

pub fn engine(waiting: u32, running: u32) -> EngineState {
    EngineState {
        waiting: Some(waiting),
        running: Some(running),
        kv_usage: Some(0.0),
        block_tokens: Some(16),
        kv_blocks: Some(27_701),
        adapters: None,
    }
}

pub fn with_adapters(slots: u32, running: &[&str]) -> EngineState {
    let running = running.iter().map(|name| Arc::from(*name)).collect();
    EngineState { adapters: Some(AdapterState { slots, running, waiting: Vec::new() }), ..engine(0, 0) }
}

/// An inference request of `prompt_tokens` tokens.
pub fn request(prompt_tokens: u32) -> Request {
    Request {
        work: Work { prompt_tokens, output_tokens_max: Some(64), sequences: 1 },
        retry: RetryClass::UntilFirstByte,
        ..Request::plain()
    }
}

/// A request whose prompt has `blocks` blocks, told apart from others by `seed`.
pub fn prompt(seed: u64, blocks: u64) -> Request {
    let hashes = (0..blocks).map(|block| (seed << 32 | block).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Request { prefix: hashes.collect(), ..request(blocks as u32 * 128) }
}

pub fn for_model(model: &str) -> Request {
    Request { model: Some(model.into()), ..request(100) }
}
