//! Drives one engine in real time: requests go in from the API, tokens come out to their readers.
//!
//! One stepping task per server sleeps until the next step ends and then lets the engine catch up with the
//! clock; timers that fire late, or steps shorter than a timer's grain, therefore never shift the engine's time.
//! The engine stands behind one short mutex, so that a submit, a cancel or a metrics page happens at the
//! instant it is asked for. A reader is told how many tokens exist, not what they say (that follows from seed
//! and index), so a slow reader costs a counter and the engine never waits for one.
//!
//! Must not know HTTP.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use roadstead_engine::{
    AdapterId, BLOCK_TOKENS, Engine, EngineConfig, FinishReason, Job, JobId, LoraError, Output, Prompt,
    Refused, Stats,
};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics::{FinishedJob, Metrics};
use crate::metrics_page::{Page, Reading};

mod adapters;
mod mailbox;

use adapters::AdapterSeries;
use mailbox::Mailbox;
pub(crate) use mailbox::Progress;

/// One answer to generate.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) prompt: Prompt,
    pub(crate) output_tokens: u32,
    pub(crate) finish: FinishReason,
    pub(crate) seed: u64,
    pub(crate) adapter: Option<AdapterId>,
    /// Whether the reader wants to hear of every token, or only of the end.
    pub(crate) streamed: bool,
    /// The request's own limit and number of answers, for the metrics.
    pub(crate) max_tokens: Option<u32>,
    pub(crate) n: u32,
}

/// Why an order was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubmitError {
    /// The engine says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The server was cut off.
    #[error("the server is gone")]
    Gone,
}

/// The server was cut off while an answer was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is gone")]
pub(crate) struct Gone;

/// An engine and its clock.
pub(crate) struct Driver {
    clock: Clock,
    core: Mutex<Core>,
    /// Says to the stepping task that a step ends earlier than it thinks.
    rearm: Notify,
    created_unix_s: f64,
    config: EngineConfig,
}

struct Core {
    engine: Engine,
    jobs: HashMap<JobId, Entry>,
    metrics: Metrics,
    adapters: AdapterSeries,
    page: Page,
    /// Reused between steps.
    outputs: Vec<Output>,
    gone: bool,
}

struct Entry {
    mailbox: Arc<Mailbox>,
    adapter: Option<AdapterId>,
    arrived: Duration,
    last_token: Duration,
    max_tokens: Option<u32>,
    n: u32,
}

/// An answer in the making. Dropping it before its end cancels the job in the engine at once.
pub(crate) struct Answer {
    driver: Arc<Driver>,
    job: JobId,
    mailbox: Arc<Mailbox>,
    /// Seed of its text.
    pub(crate) seed: u64,
    /// How many tokens it will have.
    pub(crate) output_tokens: u32,
    /// Why it will end.
    pub(crate) finish: FinishReason,
}

impl Driver {
    /// An idle engine whose clock starts now. Wall seconds per engine second: `time_scale`.
    pub(crate) fn new(model: &str, config: EngineConfig, time_scale: f64) -> Driver {
        let engine = Engine::new(config);
        let config = engine.config().clone();
        let metrics = Metrics::new(config.max_model_len);
        let created_unix_s = unix_now_s();
        let stats = engine.stats();
        let page = Page::new(model, &reading(&config, created_unix_s, &stats, &metrics));
        let adapters = AdapterSeries::new(config.max_loras);
        let mut core =
            Core { engine, jobs: HashMap::new(), metrics, adapters, page, outputs: Vec::new(), gone: false };
        for (name, _) in &config.loras {
            core.learn_name(name);
        }
        Driver {
            clock: Clock::start(time_scale),
            core: Mutex::new(core),
            rearm: Notify::new(),
            created_unix_s,
            config,
        }
    }

    /// Steps the engine until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        loop {
            let next = self.step();
            // Cancel safety: a notification that loses the race stays stored, the others hold no state.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.rearm.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Hands `order` to the engine.
    pub(crate) fn submit(self: &Arc<Self>, order: Order) -> Result<Answer, SubmitError> {
        let Order { prompt, output_tokens, finish, seed, adapter, streamed, max_tokens, n } = order;
        let mut wakes = Vec::new();
        let mut core = self.core.lock();
        if core.gone {
            return Err(SubmitError::Gone);
        }
        let now = self.catch_up(&mut core, &mut wakes);
        let armed = core.engine.next_step_end();
        let job = Job { prompt, output_tokens, output_seed: seed, finish, adapter, priority: 0 };
        let submitted = core.engine.submit(now, job);
        let mailbox = Arc::new(Mailbox::new(streamed));
        if let Ok(job) = submitted {
            let entry =
                Entry { mailbox: mailbox.clone(), adapter, arrived: now, last_token: now, max_tokens, n };
            core.jobs.insert(job, entry);
            if let Some(adapter) = adapter {
                core.adapters.job_comes(adapter);
            }
        }
        let next = core.engine.next_step_end();
        let sooner = next.is_some_and(|next| armed.is_none_or(|armed| next < armed));
        drop(core);
        if sooner {
            self.rearm.notify_one();
        }
        wake_all(wakes);
        Ok(Answer { driver: self.clone(), job: submitted?, mailbox, seed, output_tokens, finish })
    }

    /// The engine's configuration, as it is in force.
    pub(crate) fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The engine's state now.
    pub(crate) fn stats(&self) -> Stats {
        let mut wakes = Vec::new();
        let mut core = self.core.lock();
        self.catch_up(&mut core, &mut wakes);
        let stats = core.engine.stats();
        drop(core);
        wake_all(wakes);
        stats
    }

    /// The metrics page now.
    pub(crate) fn page(&self) -> Vec<u8> {
        let mut wakes = Vec::new();
        let mut core = self.core.lock();
        self.catch_up(&mut core, &mut wakes);
        let stats = core.engine.stats();
        let Core { metrics, adapters, page, .. } = &mut *core;
        let reading = reading(&self.config, self.created_unix_s, &stats, metrics);
        let text = page.render(&reading, adapters.lines());
        drop(core);
        wake_all(wakes);
        text
    }

    /// Makes an adapter known.
    pub(crate) fn load_lora(&self, name: &str, rank: u32) -> Result<(), LoraError> {
        let mut wakes = Vec::new();
        let mut core = self.core.lock();
        let now = self.catch_up(&mut core, &mut wakes);
        let loaded = core.engine.load_lora(now, name, rank);
        core.learn_name(name);
        drop(core);
        wake_all(wakes);
        loaded.map(|_stall| ())
    }

    /// Forgets an adapter; requests in flight finish on it.
    pub(crate) fn unload_lora(&self, name: &str) -> Result<(), LoraError> {
        self.core.lock().engine.unload_lora(name)
    }

    /// The engine's handle of a loaded adapter.
    pub(crate) fn adapter(&self, name: &str) -> Option<AdapterId> {
        self.core.lock().engine.adapter(name)
    }

    /// Ends every answer in the making with [`Gone`] and takes no more.
    pub(crate) fn cut(&self) {
        let mut core = self.core.lock();
        core.gone = true;
        let entries: Vec<Entry> = core.jobs.drain().map(|(_, entry)| entry).collect();
        drop(core);
        for entry in entries {
            entry.mailbox.cut();
            entry.mailbox.wake();
        }
    }

    /// Lets the engine catch up and says when its next step ends.
    fn step(&self) -> Option<Instant> {
        let mut wakes = Vec::new();
        let mut core = self.core.lock();
        self.catch_up(&mut core, &mut wakes);
        let next = core.engine.next_step_end();
        drop(core);
        wake_all(wakes);
        next.map(|end| self.clock.instant(end))
    }

    /// Brings the engine to now and hands its outputs to their readers, who are to be woken once the lock is
    /// released.
    fn catch_up(&self, core: &mut Core, wakes: &mut Vec<Arc<Mailbox>>) -> Duration {
        let now = self.clock.now();
        if core.engine.next_step_end().is_none_or(|end| end > now) {
            return now;
        }
        let mut outputs = std::mem::take(&mut core.outputs);
        core.engine.advance(now, &mut outputs);
        wakes.reserve(outputs.len());
        for output in outputs.drain(..) {
            core.deliver(&output, &self.clock, wakes);
        }
        core.outputs = outputs;
        core.adapters.mark(unix_now_s());
        now
    }

    fn cancel(&self, job: JobId) {
        let mut wakes = Vec::new();
        let mut core = self.core.lock();
        let now = self.catch_up(&mut core, &mut wakes);
        if let Some(entry) = core.jobs.remove(&job) {
            core.engine.cancel(now, job);
            core.adapters.job_goes(entry.adapter);
        }
        drop(core);
        wake_all(wakes);
    }
}

impl Core {
    fn learn_name(&mut self, adapter: &str) {
        if let Some(id) = self.engine.adapter(adapter) {
            self.adapters.name(id, adapter);
        }
    }

    fn deliver(&mut self, output: &Output, clock: &Clock, wakes: &mut Vec<Arc<Mailbox>>) {
        match *output {
            Output::FirstToken { job, at } => {
                let Some(entry) = self.jobs.get_mut(&job) else { return };
                entry.last_token = at;
                let waited = clock.real(at.saturating_sub(entry.arrived));
                self.metrics.first_token_s.observe(waited.as_secs_f64());
                entry.mailbox.add(1, wakes);
            }
            Output::Tokens { job, count, at } => {
                let Some(entry) = self.jobs.get_mut(&job) else { return };
                let gap_s =
                    clock.real(at.saturating_sub(entry.last_token)).as_secs_f64() / f64::from(count.max(1));
                entry.last_token = at;
                for _ in 0..count {
                    self.metrics.inter_token_s.observe(gap_s);
                }
                entry.mailbox.add(count, wakes);
            }
            Output::Finished {
                job,
                prompt_tokens,
                output_tokens,
                cached_tokens,
                preemptions,
                timings,
                ..
            } => {
                let Some(entry) = self.jobs.remove(&job) else { return };
                let Entry { mailbox, adapter, max_tokens, n, .. } = entry;
                let finished = FinishedJob {
                    prompt_tokens,
                    output_tokens,
                    cached_tokens,
                    preemptions,
                    max_tokens,
                    n,
                    timings,
                };
                self.metrics.finished(&finished, clock);
                self.adapters.job_goes(adapter);
                mailbox.finish();
                wakes.push(mailbox);
            }
        }
    }
}

impl Answer {
    /// What there is beyond the `seen` tokens that the caller knows of. Pending while that is nothing.
    pub(crate) fn poll_progress(&self, cx: &mut Context<'_>, seen: u32) -> Poll<Progress> {
        self.mailbox.poll_progress(cx, seen)
    }

    /// Waits for the end.
    pub(crate) async fn finished(&self) -> Result<(), Gone> {
        let mut seen = 0;
        loop {
            let progress = poll_fn(|cx| self.mailbox.poll_progress(cx, seen)).await;
            match progress {
                Progress::Tokens(produced) => seen = produced,
                Progress::Finished(_) => return Ok(()),
                Progress::Gone => return Err(Gone),
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.mailbox.is_over() {
            self.driver.cancel(self.job);
        }
    }
}

fn reading<'a>(
    config: &EngineConfig,
    created_unix_s: f64,
    stats: &'a Stats,
    metrics: &'a Metrics,
) -> Reading<'a> {
    Reading {
        stats,
        metrics,
        created_unix_s,
        adapters: config.max_loras > 0,
        block_tokens: BLOCK_TOKENS,
        max_model_len: config.max_model_len,
        prefix_caching: config.prefix_caching,
    }
}

fn wake_all(wakes: Vec<Arc<Mailbox>>) {
    for mailbox in wakes {
        mailbox.wake();
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
