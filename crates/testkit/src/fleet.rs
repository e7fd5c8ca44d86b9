//! Engines, a picker and an event queue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use roadstead_core::{
    AdapterState, Endpoint, EndpointId, EngineState, ModelCard, Request, RetryClass, Time, Usage, Work,
};
use roadstead_engine::{Engine, EngineConfig, FinishReason, Job, JobId, LoraState, Output, Prompt, salt};
use roadstead_picker::{Event, Fact, Limits, Machine, Policy, Ticket, Verdict};

/// What comes to the fleet.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When.
    pub at: Time,
    /// Who sends it; names the conversation in `Workload::answered`.
    pub client: u32,
    /// Its prompt as bytes, four of them a token.
    pub prompt: Arc<[u8]>,
    /// How many tokens it will generate.
    pub output_tokens: u32,
    /// Seed of its answer's text.
    pub output_seed: u64,
    /// An endpoint that it goes to past the picker: load from outside.
    pub outside: Option<usize>,
    /// The adapter that it runs on.
    pub adapter: Option<Arc<str>>,
}

/// A source of arrivals.
pub trait Workload {
    /// What comes whatever happens.
    fn start(&mut self) -> Vec<Arrival>;
    /// What follows on an answer.
    fn answered(&mut self, record: &Record) -> Option<Arrival>;
}

/// Arrivals that nothing follows on.
impl Workload for Vec<Arrival> {
    fn start(&mut self) -> Vec<Arrival> {
        std::mem::take(self)
    }

    fn answered(&mut self, _: &Record) -> Option<Arrival> {
        None
    }
}

/// What became of one arrival.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Who sent it.
    pub client: u32,
    /// When it came.
    pub arrived: Time,
    /// When its first token was there.
    pub first_token: Time,
    /// When it ended.
    pub finished: Time,
    /// Who served it.
    pub endpoint: usize,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Of those, found in the cache.
    pub cached_tokens: u32,
    /// Generated tokens.
    pub output_tokens: u32,
}

impl Record {
    /// Seconds to the first token.
    pub fn ttft_s(&self) -> f64 {
        self.first_token.since(self.arrived).as_secs_f64()
    }
}

/// How requests are placed.
#[derive(Clone, Debug)]
pub enum Placer {
    /// By the machine with this policy.
    Policy(&'static str),
    /// By a hash of the client, as a proxy that hashes a session header does.
    ClientHash,
}

/// A fleet's shape.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// How many endpoints.
    pub endpoints: usize,
    /// Their engine.
    pub engine: EngineConfig,
    /// How often each is scraped.
    pub scrape: Duration,
    /// How requests are placed.
    pub placer: Placer,
    /// Seed of the picker.
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tick {
    Arrive(usize),
    Turn(usize),
    Scrape(usize),
}

struct Running {
    ticket: Option<Ticket>,
    arrival: usize,
    first_token: Option<Time>,
    tokens: u32,
}

/// Engines behind a picker in virtual time.
pub struct VirtualFleet {
    config: FleetConfig,
    engines: Vec<Engine>,
    busy_until: Vec<Option<Duration>>,
    busy: Vec<Duration>,
    machine: Machine,
    now: Time,
    queue: BinaryHeap<Reverse<(Time, u64, Tick)>>,
    sequence: u64,
    arrivals: Vec<Arrival>,
    running: Vec<HashMap<JobId, Running>>,
    waiting: HashMap<Ticket, usize>,
    records: Vec<Record>,
    outputs: Vec<Output>,
}

impl VirtualFleet {
    /// A fleet at time zero, with every endpoint scraped once.
    ///
    /// # Panics
    /// When the policy has no such name.
    pub fn new(config: FleetConfig) -> VirtualFleet {
        let engines = vec![config.engine.clone(); config.endpoints];
        VirtualFleet::with_engines(config, engines)
    }

    /// The same with an engine of its own for each endpoint; `config.engine` does not count.
    ///
    /// # Panics
    /// When the policy has no such name.
    pub fn with_engines(mut config: FleetConfig, engines: Vec<EngineConfig>) -> VirtualFleet {
        config.endpoints = engines.len();
        let policy = match &config.placer {
            Placer::Policy(name) => Policy::by_name(name).expect("a known policy"),
            Placer::ClientHash => Policy::default(),
        };
        let limits = Limits { queue_max: usize::MAX, ..Limits::default() };
        let engine = |(engine, index)| Engine::new(EngineConfig { seed: config.seed + index, ..engine });
        let mut fleet = VirtualFleet {
            engines: engines.into_iter().zip(0..).map(engine).collect(),
            busy_until: vec![None; config.endpoints],
            busy: vec![Duration::ZERO; config.endpoints],
            machine: Machine::new(policy, limits, config.seed),
            now: Time::ZERO,
            queue: BinaryHeap::new(),
            sequence: 0,
            arrivals: Vec::new(),
            running: (0..config.endpoints).map(|_| HashMap::new()).collect(),
            waiting: HashMap::new(),
            records: Vec::new(),
            outputs: Vec::new(),
            config,
        };
        for index in 0..fleet.engines.len() {
            let name: Arc<str> = format!("e{index}").into();
            let endpoint = Endpoint { id: EndpointId(index as u32), name: name.clone(), authority: name };
            fleet.machine.observe(Time::ZERO, Fact::Joined(endpoint));
            fleet.list_models(index);
            fleet.scrape(index);
        }
        fleet
    }

    /// Runs until every arrival is answered, or until `end`.
    pub fn run(&mut self, workload: &mut dyn Workload, end: Time) -> Vec<Record> {
        for arrival in workload.start() {
            self.arrive(arrival);
        }
        while let Some(Reverse((at, _, tick))) = self.queue.pop() {
            if at > end {
                break;
            }
            self.now = at;
            match tick {
                Tick::Arrive(index) => self.offer(index),
                Tick::Turn(engine) => self.turn(engine, workload),
                Tick::Scrape(engine) if self.is_busy() => self.scrape(engine),
                Tick::Scrape(_) => {}
            }
        }
        std::mem::take(&mut self.records)
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// For each endpoint, the share of the time so far in which it was computing.
    pub fn busy_shares(&self) -> Vec<f64> {
        self.busy.iter().map(|busy| busy.as_secs_f64() / self.now.as_secs_f64()).collect()
    }

    fn is_busy(&self) -> bool {
        let arrivals = self.queue.iter().any(|Reverse((_, _, tick))| matches!(tick, Tick::Arrive(_)));
        arrivals || !self.waiting.is_empty() || self.running.iter().any(|jobs| !jobs.is_empty())
    }

    fn push(&mut self, at: Time, tick: Tick) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, tick)));
    }

    fn arrive(&mut self, arrival: Arrival) {
        let at = arrival.at;
        self.arrivals.push(arrival);
        self.push(at, Tick::Arrive(self.arrivals.len() - 1));
    }

    fn offer(&mut self, index: usize) {
        let arrival = &self.arrivals[index];
        if let Some(engine) = arrival.outside {
            return self.submit(engine, index, None);
        }
        if let Placer::ClientHash = self.config.placer {
            let engine = fastrand::Rng::with_seed(u64::from(arrival.client) ^ (self.config.seed << 32))
                .usize(..self.engines.len());
            return self.submit(engine, index, None);
        }
        let prompt = Prompt::from_bytes(&arrival.prompt, salt(arrival.adapter.as_deref(), None));
        let blocks = self.machine.prefix_shape().block_bytes / 64;
        let hashes = prompt.block_hashes().iter().skip(blocks - 1).step_by(blocks);
        let request = Request {
            model: arrival.adapter.clone(),
            priority: 0,
            work: Work {
                prompt_tokens: prompt.tokens(),
                output_tokens_max: Some(arrival.output_tokens),
                sequences: 1,
            },
            prefix: hashes.take(self.machine.prefix_shape().blocks_max).copied().collect(),
            retry: RetryClass::UntilFirstByte,
            explain: false,
        };
        let ticket = self.machine.offer(self.now, request);
        self.waiting.insert(ticket, index);
        self.follow_verdicts();
    }

    fn follow_verdicts(&mut self) {
        while let Some(verdict) = self.machine.next_verdict() {
            let Some(index) = self.waiting.remove(&verdict.ticket()) else { continue };
            if let Verdict::Dispatch { ticket, placement, .. } = verdict {
                self.submit(placement.decode.first().0 as usize, index, Some(ticket));
            }
        }
    }

    fn submit(&mut self, engine: usize, index: usize, ticket: Option<Ticket>) {
        let arrival = &self.arrivals[index];
        let adapter = arrival.adapter.as_deref();
        let prompt = Prompt::from_bytes(&arrival.prompt, salt(adapter, None));
        let job = Job {
            output_seed: arrival.output_seed,
            finish: FinishReason::Length,
            adapter: adapter.and_then(|name| self.engines[engine].adapter(name)),
            ..Job::new(prompt, arrival.output_tokens)
        };
        let now = Duration::from_nanos(self.now.as_nanos());
        let id = self.engines[engine].submit(now, job).expect("virtual engines have no queue bound");
        self.running[engine].insert(id, Running { ticket, arrival: index, first_token: None, tokens: 0 });
        self.schedule_turn(engine);
    }

    fn schedule_turn(&mut self, engine: usize) {
        let next = self.engines[engine].next_step_end();
        if next != self.busy_until[engine] {
            self.busy_until[engine] = next;
            if let Some(at) = next {
                let at = Time::from_nanos(at.as_nanos() as u64).max(self.now);
                self.push(at, Tick::Turn(engine));
            }
        }
    }

    fn turn(&mut self, engine: usize, workload: &mut dyn Workload) {
        let now = Duration::from_nanos(self.now.as_nanos());
        let mut outputs = std::mem::take(&mut self.outputs);
        self.engines[engine].advance(now, &mut outputs);
        for output in outputs.drain(..) {
            self.take_output(engine, output, workload);
        }
        self.outputs = outputs;
        if let Some(next) = self.engines[engine].next_step_end()
            && self.busy_until[engine] != Some(next)
        {
            self.busy[engine] += next.saturating_sub(now);
        }
        self.schedule_turn(engine);
        self.follow_verdicts();
    }

    fn take_output(&mut self, engine: usize, output: Output, workload: &mut dyn Workload) {
        let Some(running) = self.running[engine].get_mut(&output.job()) else { return };
        match output {
            Output::FirstToken { .. } => {
                running.first_token = Some(self.now);
                running.tokens = 1;
                if let Some(ticket) = running.ticket {
                    self.machine.progress(self.now, ticket, Event::Answered { status: 200 });
                    self.machine.progress(self.now, ticket, Event::FirstByte);
                }
            }
            Output::Tokens { count, .. } => {
                running.tokens += count;
                if let Some(ticket) = running.ticket {
                    self.machine.progress(self.now, ticket, Event::Tokens(running.tokens));
                }
            }
            Output::Finished { job, prompt_tokens, output_tokens, cached_tokens, .. } => {
                let Some(running) = self.running[engine].remove(&job) else { return };
                if let Some(ticket) = running.ticket {
                    let usage = Usage { output_tokens: Some(output_tokens), ..Usage::default() };
                    self.machine.progress(self.now, ticket, Event::Finished(usage));
                }
                let arrival = &self.arrivals[running.arrival];
                let record = Record {
                    client: arrival.client,
                    arrived: arrival.at,
                    first_token: running.first_token.unwrap_or(self.now),
                    finished: self.now,
                    endpoint: engine,
                    prompt_tokens,
                    cached_tokens,
                    output_tokens,
                };
                self.arrivals[running.arrival].prompt = Arc::from([]);
                if let Some(next) = workload.answered(&record) {
                    self.arrive(next);
                }
                self.records.push(record);
            }
        }
    }

    /// What `/v1/models` would say.
    fn list_models(&mut self, engine: usize) {
        let base: Arc<str> = "base".into();
        let adapters = self.engines[engine].loras();
        let adapters = adapters.map(|lora| ModelCard { id: lora.name.into(), parent: Some(base.clone()) });
        let models = std::iter::once(ModelCard { id: base.clone(), parent: None }).chain(adapters).collect();
        let endpoint = EndpointId(engine as u32);
        self.machine.observe(self.now, Fact::Models { endpoint, models });
    }

    /// What the metrics page would say: only adapters with requests.
    fn adapters(&self, engine: usize) -> Option<AdapterState> {
        let engine = &self.engines[engine];
        let slots = engine.config().max_loras;
        let named = |count: fn(&LoraState<'_>) -> u32| {
            engine.loras().filter(|lora| count(lora) > 0).map(|lora| lora.name.into()).collect()
        };
        (slots > 0).then(|| AdapterState {
            slots,
            running: named(|lora| lora.running),
            waiting: named(|lora| lora.waiting),
        })
    }

    fn scrape(&mut self, engine: usize) {
        let stats = self.engines[engine].stats();
        let state = EngineState {
            waiting: Some(stats.waiting()),
            running: Some(stats.running),
            kv_usage: Some(stats.kv_usage as f32),
            block_tokens: Some(roadstead_engine::BLOCK_TOKENS),
            kv_blocks: Some(stats.kv_blocks),
            adapters: self.adapters(engine),
        };
        self.machine.observe(self.now, Fact::Scraped { endpoint: EndpointId(engine as u32), state });
        self.follow_verdicts();
        self.push(self.now + self.config.scrape, Tick::Scrape(engine));
    }
}
