//! What must be true of a machine, kept in the plainest way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::sample::Index;
use roadstead_core::{Endpoint, EndpointId, EngineState, ModelCard, Request, Time, Usage};
use roadstead_picker::invariants::{books_balance, empty_accounts_are_zero};
use roadstead_picker::limits::SEQUENCES_MAX;
use roadstead_picker::{Event, Fact, Failure, FailureKind, Limits, Machine, Policy, Ticket, Verdict};

/// One call of the machine. Tickets are chosen among all that were ever given.
#[derive(Clone, Debug)]
pub enum Call {
    Offer(Request),
    Join(u32),
    Leave(u32),
    Drain(u32, bool),
    Scrape(u32, EngineState),
    Load(u32, EngineState),
    Models(u32, usize),
    Silent(u32),
    Unreachable(u32),
    Answered(Index, u16),
    FirstByte(Index),
    Tokens(Index, u32),
    ServedBy(Index, u32),
    Finished(Index, Option<u32>),
    Failed(Index, FailureKind, bool),
    Gone(Index),
    Pass(Duration),
    StepBack(Duration),
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    alive: bool,
    draining: bool,
    leaving: bool,
}

#[derive(Debug)]
struct Open {
    request: Request,
    at: Option<u32>,
    tokens: u32,
    failed_at: HashSet<u32>,
}

pub struct Naive {
    machine: Machine,
    now: Time,
    wait_max: Duration,
    places: BTreeMap<u32, Place>,
    open: HashMap<Ticket, Open>,
    ever: Vec<Ticket>,
}

impl Naive {
    pub fn new(policy: &str) -> Naive {
        let limits = Limits { queue_max: 8, ..Limits::default() };
        Naive {
            wait_max: limits.queue_wait_max,
            machine: Machine::new(Policy::by_name(policy).expect("a known policy"), limits, 3),
            now: Time::from_millis(10_000),
            places: BTreeMap::new(),
            open: HashMap::new(),
            ever: Vec::new(),
        }
    }

    pub fn call(&mut self, call: &Call) {
        match call {
            Call::Offer(request) => self.offer(request),
            Call::Pass(time) => {
                self.now = self.now + *time;
                self.machine.expire(self.now);
            }
            Call::StepBack(time) => self.now = self.now - *time,
            Call::Answered(index, status) => {
                self.tell(*index, |_| Event::Answered { status: *status });
            }
            Call::FirstByte(index) => {
                self.tell(*index, |_| Event::FirstByte);
            }
            Call::Tokens(index, tokens) => {
                if let Some(open) =
                    self.tell(*index, |_| Event::Tokens(*tokens)).filter(|open| open.at.is_some())
                {
                    open.tokens = open.tokens.max(*tokens);
                }
            }
            Call::ServedBy(index, endpoint) => self.served_by(*index, *endpoint),
            Call::Finished(index, tokens) => {
                let usage = Usage { output_tokens: *tokens, ..Usage::default() };
                self.close(*index, Event::Finished(usage));
            }
            Call::Gone(index) => self.close(*index, Event::Gone),
            Call::Failed(index, kind, again) => self.fail(*index, *kind, *again),
            fact => self.observe(fact),
        }
        self.hear();
        self.check();
    }

    /// Whatever is open ends, and nothing is left.
    pub fn end(&mut self) {
        for index in 0..self.ever.len() {
            let ticket = self.ever[index];
            self.machine.progress(self.now, ticket, Event::Gone);
            self.open.remove(&ticket);
            self.hear();
            self.check();
        }
        let ledger = self.machine.ledger();
        assert_eq!(ledger.given, ledger.returned);
        let view = self.machine.view(self.now);
        assert!(view.endpoints.iter().all(|endpoint| endpoint.account.is_empty()));
        assert_eq!((view.queued, self.machine.next_deadline()), (0, None));
    }

    fn offer(&mut self, request: &Request) {
        let ticket = self.machine.offer(self.now, request.clone());
        assert!(!self.ever.contains(&ticket), "a ticket is used once");
        self.ever.push(ticket);
        let open = Open { request: request.clone(), at: None, tokens: 0, failed_at: HashSet::new() };
        self.open.insert(ticket, open);
    }

    fn ticket(&self, index: Index) -> Option<Ticket> {
        // The latest tickets are the ones still open.
        let recent = &self.ever[self.ever.len().saturating_sub(12)..];
        (!recent.is_empty()).then(|| *index.get(recent))
    }

    fn tell(&mut self, index: Index, event: impl FnOnce(Ticket) -> Event) -> Option<&mut Open> {
        let ticket = self.ticket(index)?;
        self.machine.progress(self.now, ticket, event(ticket));
        self.open.get_mut(&ticket)
    }

    fn close(&mut self, index: Index, event: Event) {
        let Some(ticket) = self.ticket(index) else { return };
        self.machine.progress(self.now, ticket, event);
        self.open.remove(&ticket);
    }

    fn served_by(&mut self, index: Index, endpoint: u32) {
        let known = self.places.contains_key(&endpoint);
        if let Some(open) = self.tell(index, |_| Event::ServedBy(EndpointId(endpoint)))
            && known
            && open.at.is_some_and(|at| at != endpoint)
        {
            (open.at, open.tokens) = (Some(endpoint), 0);
        }
        self.forget_left();
    }

    fn fail(&mut self, index: Index, kind: FailureKind, offer_again: bool) {
        let Some(ticket) = self.ticket(index) else { return };
        let at = self.open.get(&ticket).and_then(|open| open.at).unwrap_or(77);
        if let Some(open) = self.open.get_mut(&ticket).filter(|open| open.at.is_some()) {
            open.at = None;
            open.failed_at.insert(at);
            if kind == FailureKind::Connect
                && let Some(place) = self.places.get_mut(&at)
            {
                place.alive = false;
            }
        }
        let failure = Failure { endpoint: EndpointId(at), kind, offer_again };
        self.machine.progress(self.now, ticket, Event::Failed(failure));
    }

    fn observe(&mut self, call: &Call) {
        let id = |endpoint: &u32| EndpointId(*endpoint);
        let fact = match call {
            Call::Join(endpoint) => {
                self.places.entry(*endpoint).or_default().leaving = false;
                let name: Arc<str> = format!("e{endpoint}").into();
                Fact::Joined(Endpoint { id: id(endpoint), name: name.clone(), authority: name })
            }
            Call::Leave(endpoint) => {
                if let Some(place) = self.places.get_mut(endpoint) {
                    place.leaving = true;
                }
                Fact::Left(id(endpoint))
            }
            Call::Drain(endpoint, on) => {
                if let Some(place) = self.places.get_mut(endpoint) {
                    place.draining = *on;
                }
                Fact::Draining { endpoint: id(endpoint), on: *on }
            }
            Call::Scrape(endpoint, state) => {
                self.set_alive(*endpoint, true);
                Fact::Scraped { endpoint: id(endpoint), state: state.clone() }
            }
            Call::Load(endpoint, state) => Fact::Load { endpoint: id(endpoint), state: state.clone() },
            Call::Models(endpoint, names) => Fact::Models { endpoint: id(endpoint), models: cards(*names) },
            Call::Silent(endpoint) => {
                self.set_alive(*endpoint, false);
                Fact::Silent(id(endpoint))
            }
            Call::Unreachable(endpoint) => {
                self.set_alive(*endpoint, false);
                Fact::Unreachable(id(endpoint))
            }
            _ => unreachable!("the others are no facts"),
        };
        self.machine.observe(self.now, fact);
        self.forget_left();
    }

    fn set_alive(&mut self, endpoint: u32, alive: bool) {
        if let Some(place) = self.places.get_mut(&endpoint) {
            place.alive = alive;
        }
    }

    /// An endpoint that left and has nothing in flight is forgotten.
    fn forget_left(&mut self) {
        let open = &self.open;
        self.places.retain(|id, place| !place.leaving || open.values().any(|open| open.at == Some(*id)));
    }

    fn hear(&mut self) {
        while let Some(verdict) = self.machine.next_verdict() {
            let ticket = verdict.ticket();
            match verdict {
                Verdict::Dispatch { placement, why, .. } => {
                    let open = self.open.get_mut(&ticket).expect("no verdict for a closed ticket");
                    let to = placement.decode.first().0;
                    assert!(!open.failed_at.contains(&to), "sent again where it failed");
                    if let Some(left) = open.at.replace(to) {
                        open.failed_at.insert(left);
                    }
                    open.tokens = 0;
                    let place = self.places.get(&to).expect("an endpoint of the pool");
                    assert!(place.alive && !place.draining && !place.leaving, "sent to {to}: {place:?}");
                    assert_eq!(why.is_some(), open.request.explain);
                }
                Verdict::Refuse { .. } | Verdict::Evict { .. } => {
                    assert!(self.open.remove(&ticket).is_some(), "no verdict for a closed ticket");
                }
            }
        }
        self.forget_left();
    }

    fn check(&self) {
        let view = self.machine.view(self.now);
        assert!(books_balance(self.machine.ledger(), &view));
        assert!(empty_accounts_are_zero(&view));
        assert_eq!(view.endpoints.len(), self.places.len());
        for endpoint in &view.endpoints {
            let here: Vec<&Open> = self.open.values().filter(|open| open.at == Some(endpoint.id.0)).collect();
            let sequences = |open: &&Open| {
                let work = &open.request.work;
                work.sequences.max(u32::from(work.prompt_tokens > 0)).min(SEQUENCES_MAX)
            };
            let tokens = |open: &&Open| u64::from(open.request.work.prompt_tokens) + u64::from(open.tokens);
            assert_eq!(endpoint.account.requests as usize, here.len());
            assert_eq!(endpoint.account.sequences, here.iter().map(sequences).sum::<u32>());
            assert_eq!(endpoint.account.context_tokens, here.iter().map(tokens).sum::<u64>());
            assert!(endpoint.prefill_s_per_token.is_finite() && endpoint.prefill_s_per_token >= 0.0);
            assert!(endpoint.step_scale.is_finite() && endpoint.step_scale >= 0.0);
        }
        let waiting = self.open.values().filter(|open| open.at.is_none()).count();
        assert_eq!(view.queued, waiting);
        if waiting > 0 {
            let deadline = self.machine.next_deadline().expect("whatever waits has a deadline");
            assert!(deadline <= self.now + self.wait_max + Duration::from_secs(400));
        }
    }
}

fn cards(names: usize) -> Vec<ModelCard> {
    let all = [("base", None), ("x", Some("base")), ("y", Some("base"))];
    let card =
        |(id, parent): &(&str, Option<&str>)| ModelCard { id: Arc::from(*id), parent: parent.map(Arc::from) };
    all[..names].iter().map(card).collect()
}
