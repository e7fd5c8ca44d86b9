//! A pool in a realistic state, one decision after the other: full histories, work in flight, scrapes every 50 ms.
//!
//! The machine is called as the gateway calls it, in virtual time; offers are timed, in nanoseconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use roadstead_core::{Endpoint, EndpointId, EngineState, Request, RetryClass, Time, Usage, Work};
use roadstead_picker::{Event, Fact, Limits, Machine, Policy, Ticket, Verdict};

const PROMPT_BLOCKS: usize = 64;
const SHARED_BLOCKS: usize = 16;
const BLOCK_TOKENS: u32 = 128;
/// Requests in flight on each endpoint.
const IN_FLIGHT: usize = 8;
/// KV blocks of 16 tokens of an 8B model on an 80 GB accelerator.
const KV_BLOCKS: u32 = 27_701;
const SCRAPE: Duration = Duration::from_millis(50);

/// Mixes a number into a block hash.
fn hash(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ mixed.rotate_left(29)
}

pub struct Load {
    machine: Machine,
    endpoints: usize,
    now: Time,
    step: Duration,
    seed: u64,
    next_scrape: usize,
    scrapes_due: f64,
    flying: VecDeque<Ticket>,
    prompts: Vec<Arc<[u64]>>,
    shared: Vec<u64>,
    /// Whether nobody has seen the prompts: their blocks enter the history and push others out.
    pub cold: bool,
    /// Nanoseconds of each offer with its verdict.
    pub offers: Vec<u64>,
}

impl Load {
    /// A pool in full swing. `bare`: nothing is known of prompts, so that a decision is a turn and its account.
    pub fn new(policy: &str, endpoints: usize, bare: bool) -> Load {
        let policy = Policy::by_name(policy).unwrap_or_default();
        let mut load = Load {
            machine: Machine::new(policy, Limits::default(), 1),
            endpoints,
            now: Time::from_millis(1),
            // Ten requests a second for each endpoint.
            step: Duration::from_millis(100) / endpoints as u32,
            seed: 1,
            next_scrape: 0,
            scrapes_due: 0.0,
            flying: VecDeque::new(),
            prompts: Vec::new(),
            shared: (0..SHARED_BLOCKS as u64).map(|block| hash(block + 1)).collect(),
            cold: false,
            offers: Vec::new(),
        };
        for index in 0..endpoints {
            let name: Arc<str> = format!("10.0.{}.{}:8000", index / 256, index % 256).into();
            let endpoint = Endpoint { id: EndpointId(index as u32), name: name.clone(), authority: name };
            load.machine.observe(load.now, Fact::Joined(endpoint));
            load.scrape(index);
            load.drain(index, true);
        }
        if bare {
            load.prompts.push(Arc::from([]));
            (0..endpoints).for_each(|index| load.drain(index, false));
        } else {
            load.fill_histories();
        }
        for _ in 0..endpoints * IN_FLIGHT {
            load.decide();
        }
        load.clear();
        load
    }

    /// Everything that an endpoint's cache holds was sent there one after the other; the shared prefix comes last,
    /// so that it is everywhere.
    fn fill_histories(&mut self) {
        let shape = self.machine.prefix_shape();
        let kv = Some((self.kv_blocks(), 16));
        let fill = shape.capacity.blocks(&shape, kv) / PROMPT_BLOCKS;
        for index in 0..self.endpoints {
            self.drain(index, false);
            for _ in 0..fill {
                let prompt = self.new_prompt();
                self.offer_and_finish(prompt);
            }
            for _ in 0..2 {
                let prompt = self.new_prompt();
                self.prompts.push(prompt.clone());
                self.offer_and_finish(prompt);
            }
            self.drain(index, true);
        }
        for index in 0..self.endpoints {
            self.drain(index, false);
        }
    }

    /// Histories of 10,000 endpoints are kept small: what is measured is the decision, not the memory.
    fn kv_blocks(&self) -> u32 {
        if self.endpoints > 1_000 { KV_BLOCKS / 8 } else { KV_BLOCKS }
    }

    fn new_prompt(&mut self) -> Arc<[u64]> {
        let from = self.seed;
        self.seed += (PROMPT_BLOCKS - SHARED_BLOCKS) as u64;
        let own = (from..self.seed).map(|seed| hash((seed + 1) << 20));
        self.shared.iter().copied().chain(own).collect()
    }

    fn drain(&mut self, index: usize, on: bool) {
        let endpoint = EndpointId(index as u32);
        self.machine.observe(self.now, Fact::Draining { endpoint, on });
    }

    fn scrape(&mut self, index: usize) {
        let state = EngineState {
            waiting: Some((index % 3) as u32),
            running: Some(IN_FLIGHT as u32),
            kv_usage: Some(0.3 + (index % 7) as f32 * 0.05),
            block_tokens: Some(16),
            kv_blocks: Some(self.kv_blocks()),
            adapters: None,
        };
        let endpoint = EndpointId(index as u32);
        self.machine.observe(self.now, Fact::Scraped { endpoint, state });
    }

    fn request(prompt: Arc<[u64]>) -> Request {
        let work = Work {
            prompt_tokens: prompt.len() as u32 * BLOCK_TOKENS,
            output_tokens_max: Some(256),
            sequences: 1,
        };
        let retry = RetryClass::UntilFirstByte;
        Request { model: None, priority: 0, work, prefix: prompt, retry, explain: false }
    }

    fn offer_and_finish(&mut self, prompt: Arc<[u64]>) {
        let ticket = self.machine.offer(self.now, Load::request(prompt));
        while self.machine.next_verdict().is_some() {}
        self.now = self.now + Duration::from_micros(100);
        self.machine.progress(self.now, ticket, Event::Finished(Usage::default()));
    }

    /// One request comes, an older one shows its first byte, the oldest ends, and scrapes go on.
    pub fn decide(&mut self) {
        self.now = self.now + self.step;
        self.scrapes_due += self.endpoints as f64 * self.step.as_secs_f64() / SCRAPE.as_secs_f64();
        while self.scrapes_due >= 1.0 {
            self.scrapes_due -= 1.0;
            self.next_scrape = (self.next_scrape + 1) % self.endpoints;
            self.scrape(self.next_scrape);
        }
        let prompt = if self.cold {
            self.new_prompt()
        } else {
            self.seed += 1;
            self.prompts[hash(self.seed) as usize % self.prompts.len()].clone()
        };
        let request = Load::request(prompt);

        let started = Instant::now();
        let ticket = self.machine.offer(self.now, request);
        let verdict = self.machine.next_verdict();
        let deadline = self.machine.next_deadline();
        self.offers.push(started.elapsed().as_nanos() as u64);
        assert!(matches!(verdict, Some(Verdict::Dispatch { .. })) && deadline.is_none());

        self.flying.push_back(ticket);
        if let Some(&ticket) = self.flying.iter().rev().nth(self.endpoints) {
            self.machine.progress(self.now, ticket, Event::FirstByte);
        }
        if self.flying.len() > self.endpoints * IN_FLIGHT
            && let Some(ticket) = self.flying.pop_front()
        {
            let usage = Usage { output_tokens: Some(200), ..Usage::default() };
            self.machine.progress(self.now, ticket, Event::Finished(usage));
        }
    }

    /// Forgets what was measured.
    pub fn clear(&mut self) {
        self.offers.clear();
    }
}
