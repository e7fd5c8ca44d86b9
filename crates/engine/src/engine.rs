//! The engine: the calls that a driver makes, and the turn from one step to the next.
//!
//! A driver submits, waits until [`Engine::next_step_end`], calls [`Engine::advance`], and repeats. The engine keeps its
//! own time: a step begins exactly when the one before ended, however late the driver calls, so a slow timer does not
//! slow the simulated server. What a step takes in is decided in `scheduler`.

use core::time::Duration;
use std::collections::VecDeque;

use crate::blocks::BlockPool;
use crate::config::{EngineConfig, Policy};
use crate::job::{Job, JobId, Output, Refused, Slots, State};
use crate::lora::{AdapterId, LoraError, LoraState, Loras};
use crate::noise::NoiseSource;
use crate::prompt::BLOCK_TOKENS;
use crate::running::{Running, Wheel};
use crate::stats::{Counters, IterationTokens, Stats};
use crate::step::StepShape;

/// Waiting jobs of an engine that has no configured bound.
const QUEUED_REQUESTS_MAX: u32 = 1 << 20;

/// Largest step, in tokens, whose matrix-product time is remembered.
const GEMM_TOKENS_MAX: u32 = 512;

/// One simulated model server.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) pool: BlockPool,
    pub(crate) slots: Slots,
    pub(crate) running: Running,
    pub(crate) wheel: Wheel,
    /// Running jobs whose prompt is not yet computed, in running order.
    pub(crate) prefills: Vec<u32>,
    pub(crate) waiting: VecDeque<u32>,
    /// Waiting jobs that were passed over for want of an adapter slot, in order.
    pub(crate) deferred: VecDeque<u32>,
    /// Jobs in the API server and when the scheduler will see them.
    pub(crate) arriving: VecDeque<(u64, u32)>,
    pub(crate) loras: Loras,
    pub(crate) noise: NoiseSource,
    /// Steps ended so far: the number of the step in progress or to come.
    pub(crate) step: u64,
    /// Decoding jobs.
    pub(crate) decodes: u32,
    /// Tokens of the decoding jobs in the KV cache at the start of this step, summed.
    pub(crate) context_tokens: u64,
    /// Prefill tokens of this step.
    pub(crate) chunk_tokens: u32,
    pub(crate) counters: Counters,
    pub(crate) iteration_tokens: IterationTokens,
    /// What came out while the driver was not asking.
    pending: Vec<Output>,
    /// When the scheduler runs next.
    turn_at: Option<u64>,
    /// Whether a step ends then.
    in_step: bool,
    /// The end of the adapter loads under way.
    loading_until: u64,
    /// Adapter loads that the step being scheduled waits for.
    pub(crate) stall: Duration,
    /// Matrix-product times in ms by tokens of the step, up to `GEMM_TOKENS_MAX`; NaN where not yet needed.
    gemm_ms: Vec<f64>,
    /// Scratch: blocks found for the job being admitted.
    pub(crate) found: Vec<u32>,
    /// Scratch: jobs that end with this step.
    pub(crate) ending: Vec<u32>,
}

impl Engine {
    /// An idle engine. Sizes below what can work at all are raised to it.
    pub fn new(mut config: EngineConfig) -> Engine {
        config.kv_blocks = config.kv_blocks.max(2);
        config.max_num_seqs = config.max_num_seqs.max(1);
        config.max_batched_tokens = config.max_batched_tokens.max(config.max_num_seqs);
        let kv_tokens = (config.kv_blocks - 1).saturating_mul(BLOCK_TOKENS);
        config.max_model_len = config.max_model_len.clamp(1, kv_tokens);
        config.long_prefill_token_threshold = config.long_prefill_token_threshold.filter(|t| *t > 0);
        let mut loras = Loras::new(
            config.max_loras,
            config.max_cpu_loras,
            config.max_lora_rank,
            config.lora_bytes_per_rank,
        );
        for (name, rank) in &config.loras {
            // a wrong entry is simply not there, as `adapter` shows
            if let Ok(id) = loras.register(name, *rank) {
                loras.bring(id);
            }
        }
        Engine {
            pool: BlockPool::new(config.kv_blocks - 1),
            slots: Slots::default(),
            running: Running::default(),
            wheel: Wheel::default(),
            prefills: Vec::new(),
            waiting: VecDeque::new(),
            deferred: VecDeque::new(),
            arriving: VecDeque::new(),
            loras,
            noise: NoiseSource::new(config.noise, config.seed),
            step: 0,
            decodes: 0,
            context_tokens: 0,
            chunk_tokens: 0,
            counters: Counters::default(),
            iteration_tokens: IterationTokens::default(),
            pending: Vec::new(),
            turn_at: None,
            in_step: false,
            loading_until: 0,
            stall: Duration::ZERO,
            gemm_ms: Vec::new(),
            found: Vec::new(),
            ending: Vec::new(),
            config,
        }
    }

    /// The configuration as it is in force.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Queues a job. `now` is the time since the engine's start; calls come in order of time.
    pub fn submit(&mut self, now: Duration, job: Job) -> Result<JobId, Refused> {
        let now_ns = self.catch_up(now);
        self.check(&job)?;
        if let Some(adapter) = job.adapter {
            self.loras.job_waits(adapter);
        }
        let slot = self.slots.insert(job, now_ns);
        let ready_ns = now_ns + nanos(self.config.api_overhead);
        if ready_ns > now_ns {
            self.arriving.push_back((ready_ns, slot));
        } else {
            self.enqueue(slot);
        }
        self.turn_at.get_or_insert(ready_ns);
        Ok(self.slots[slot].id(slot))
    }

    /// Ends a job at once; nothing more comes out of it. False if it has ended already.
    pub fn cancel(&mut self, now: Duration, id: JobId) -> bool {
        self.catch_up(now);
        let Some(slot) = self.slots.live(id) else {
            return false;
        };
        match self.slots[slot].state {
            State::Prefill | State::Decode => self.stop_running(slot),
            State::Arriving => self.arriving.retain(|(_, other)| *other != slot),
            _ => {
                self.waiting.retain(|other| *other != slot);
                self.deferred.retain(|other| *other != slot);
            }
        }
        if let (Some(adapter), State::Arriving | State::Waiting | State::Deferred) =
            (self.slots[slot].job.adapter, self.slots[slot].state)
        {
            self.loras.job_leaves_queue(adapter);
        }
        self.pending.retain(|output| output.job() != id);
        self.slots.remove(slot);
        self.counters.cancelled += 1;
        true
    }

    /// When to call [`Engine::advance`] next: the end of the step in progress, or the moment at which a job that came to an
    /// idle engine can be taken in (jobs submitted before that call share the step). `None` while there is nothing to do.
    pub fn next_step_end(&self) -> Option<Duration> {
        if self.pending.is_empty() { self.turn_at.map(Duration::from_nanos) } else { Some(Duration::ZERO) }
    }

    /// Ends every step due by `now`, begins the next one and appends what came out.
    pub fn advance(&mut self, now: Duration, out: &mut Vec<Output>) {
        out.append(&mut self.pending);
        let now_ns = nanos(now);
        while let Some(turn_at) = self.turn_at.filter(|t| *t <= now_ns) {
            self.turn(turn_at, out);
        }
    }

    /// Whether no job is here.
    pub fn is_idle(&self) -> bool {
        self.slots.len() == 0
    }

    /// A snapshot for the metrics page.
    pub fn stats(&self) -> Stats {
        Stats {
            running: self.running.len,
            waiting_capacity: self.waiting.len() as u32,
            waiting_deferred: self.deferred.len() as u32,
            kv_usage: self.pool.usage(),
            kv_blocks: self.config.kv_blocks,
            counters: self.counters,
            iteration_tokens: self.iteration_tokens,
        }
    }

    /// Whether everything that must hold does, and if not, what. Slow; for tests and simulations that doubt.
    pub fn check_invariants(&self) -> Result<(), String> {
        crate::invariants::engine_is_whole(self)
    }

    /// The adapter of this name, if it is loaded.
    pub fn adapter(&self, name: &str) -> Option<AdapterId> {
        self.loras.find(name)
    }

    /// Loads an adapter and says how long that takes; steps wait for it.
    pub fn load_lora(&mut self, now: Duration, name: &str, rank: u32) -> Result<Duration, LoraError> {
        let now_ns = self.catch_up(now);
        let adapter = self.loras.register(name, rank)?;
        let cost = self.loras.bring(adapter);
        let step_end_ns = self.turn_at.filter(|_| self.in_step).unwrap_or(now_ns);
        self.loading_until = self.loading_until.max(now_ns).max(step_end_ns) + nanos(cost);
        self.counters.lora_loads += 1;
        Ok(Duration::from_nanos(self.loading_until - now_ns))
    }

    /// Forgets an adapter; its jobs that are here already still run.
    pub fn unload_lora(&mut self, name: &str) -> Result<(), LoraError> {
        self.loras.unregister(name)
    }

    /// The loaded adapters and those that still have jobs.
    pub fn loras(&self) -> impl Iterator<Item = LoraState<'_>> {
        self.loras.states()
    }

    /// Runs the steps that ended before `now`, so that what happens now finds the engine as it then is.
    fn catch_up(&mut self, now: Duration) -> u64 {
        let now_ns = nanos(now);
        let mut out = core::mem::take(&mut self.pending);
        while let Some(turn_at) = self.turn_at.filter(|t| *t < now_ns) {
            self.turn(turn_at, &mut out);
        }
        self.pending = out;
        now_ns
    }

    fn check(&mut self, job: &Job) -> Result<(), Refused> {
        let tokens = u64::from(job.prompt.tokens) + u64::from(job.output_tokens);
        if tokens > u64::from(self.config.max_model_len) {
            return Err(Refused::TooLong { tokens, max: self.config.max_model_len });
        }
        if job.adapter.is_some_and(|id| !self.loras.is_loaded(id)) {
            return Err(Refused::UnknownAdapter);
        }
        let waiting = (self.waiting.len() + self.deferred.len() + self.arriving.len()) as u32;
        let max = self.config.max_queued_requests.unwrap_or(QUEUED_REQUESTS_MAX);
        if waiting >= max {
            self.counters.refused_queue_full += 1;
            return Err(Refused::QueueFull { waiting, max });
        }
        Ok(())
    }

    /// Puts a job that the scheduler sees for the first time into the queue.
    fn enqueue(&mut self, slot: u32) {
        self.slots[slot].state = State::Waiting;
        let at = match self.config.policy {
            Policy::Fcfs => self.waiting.len(),
            Policy::Priority => self.place_by_rank(slot),
        };
        self.waiting.insert(at, slot);
    }

    /// From one step to the next.
    fn turn(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        if self.in_step {
            self.end_step(now_ns, out);
        }
        self.in_step = false;
        while let Some((_, slot)) = self.arriving.front().copied().filter(|(ready_ns, _)| *ready_ns <= now_ns)
        {
            self.arriving.pop_front();
            self.enqueue(slot);
        }
        self.schedule(now_ns, out);
        if self.running.len == 0 {
            debug_assert!(
                self.waiting.is_empty() && self.deferred.is_empty(),
                "an empty engine admits any job"
            );
            self.turn_at = self.arriving.front().map(|(ready_ns, _)| *ready_ns);
            return;
        }
        let start_ns = self.loading_until.max(now_ns) + nanos(core::mem::take(&mut self.stall));
        let end_ns = start_ns + self.step_ns();
        self.counters.steps += 1;
        self.counters.busy_ns += end_ns - now_ns;
        self.turn_at = Some(end_ns);
        self.in_step = true;
        debug_assert_eq!(crate::invariants::step_within_bounds(self), Ok(()));
    }

    /// How long the step just scheduled takes.
    fn step_ns(&mut self) -> u64 {
        let tokens = self.decodes + self.chunk_tokens;
        let pairs = |slot: &u32| {
            let (chunk, context) =
                (f64::from(self.slots[*slot].chunk), f64::from(self.slots[*slot].computed));
            chunk * (context + chunk / 2.0)
        };
        let shape = StepShape {
            tokens,
            decodes: self.decodes,
            context_tokens: self.context_tokens + u64::from(self.decodes),
            prefill_pairs: self.prefills.iter().map(pairs).sum(),
        };
        self.iteration_tokens.observe(tokens);
        let gemm_ms = self.gemm_ms(tokens);
        let step_ms = self.config.step.step_ms(&shape, gemm_ms);
        (self.noise.apply(step_ms) * 1e6) as u64
    }

    /// The step law's dearest part, remembered for the small steps, which are nearly all.
    fn gemm_ms(&mut self, tokens: u32) -> f64 {
        if tokens > GEMM_TOKENS_MAX {
            return self.config.step.gemm_ms(tokens);
        }
        let at = tokens as usize;
        if at >= self.gemm_ms.len() {
            self.gemm_ms.resize(at + 1, f64::NAN);
        }
        if self.gemm_ms[at].is_nan() {
            self.gemm_ms[at] = self.config.step.gemm_ms(tokens);
        }
        self.gemm_ms[at]
    }
}

impl Output {
    /// Whose output it is.
    pub fn job(&self) -> JobId {
        match self {
            Output::FirstToken { job, .. } | Output::Tokens { job, .. } | Output::Finished { job, .. } => {
                *job
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
