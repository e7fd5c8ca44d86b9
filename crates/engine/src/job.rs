//! Jobs: what a driver hands in, what it gets back, and the record that the engine keeps in between.
//!
//! Records live in slots that are used again; a [`JobId`] names slot and generation, so an old id never means a new job.

use core::time::Duration;

use crate::lora::AdapterId;
use crate::prompt::Prompt;

/// No slot; also the end of a list.
pub(crate) const NONE: u32 = u32::MAX;

/// One sequence to generate.
#[derive(Clone, Debug)]
pub struct Job {
    /// The rendered prompt.
    pub prompt: Prompt,
    /// How many tokens it will generate; 0 for an embedding, which ends with its prefill.
    pub output_tokens: u32,
    /// Seed of the generated text ([`crate::output_token`]).
    pub output_seed: u64,
    /// Why it ends when it has generated them.
    pub finish: FinishReason,
    /// The adapter it runs on, from [`crate::Engine::adapter`].
    pub adapter: Option<AdapterId>,
    /// Lower goes first; only [`crate::Policy::Priority`] looks at it.
    pub priority: i32,
}

impl Job {
    /// A job on the base model that ends by its length.
    pub fn new(prompt: Prompt, output_tokens: u32) -> Job {
        Job {
            prompt,
            output_tokens,
            output_seed: 0,
            finish: FinishReason::Length,
            adapter: None,
            priority: 0,
        }
    }
}

/// Names one submitted job of one engine, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    pub(crate) generation: u32,
    pub(crate) slot: u32,
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is at its bound; another server may have room.
    #[error("the queue is full ({waiting} requests wait, at most {max} may)")]
    QueueFull {
        /// Waiting jobs.
        waiting: u32,
        /// The bound.
        max: u32,
    },
    /// The job can never run here.
    #[error("the request needs {tokens} tokens, at most {max} fit")]
    TooLong {
        /// Prompt and output tokens.
        tokens: u64,
        /// The model's or the memory's bound.
        max: u32,
    },
    /// The adapter is not, or no longer, loaded.
    #[error("the adapter is not loaded")]
    UnknownAdapter,
}

/// Why a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model stopped by itself.
    Stop,
    /// It reached its token limit.
    Length,
}

/// What came out of a step. Times are on the engine's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// The first generated token.
    FirstToken {
        /// Whose.
        job: JobId,
        /// When the step ended.
        at: Duration,
    },
    /// Further tokens, `count` since the last report.
    Tokens {
        /// Whose.
        job: JobId,
        /// How many.
        count: u32,
        /// When the step that made the last of them ended.
        at: Duration,
    },
    /// The job's end; nothing follows. All its tokens have been reported before.
    Finished {
        /// Whose.
        job: JobId,
        /// Why.
        reason: FinishReason,
        /// Length of the prompt.
        prompt_tokens: u32,
        /// Generated tokens.
        output_tokens: u32,
        /// Prompt tokens found in the prefix cache at first admission.
        cached_tokens: u32,
        /// How often it was preempted.
        preemptions: u32,
        /// Its milestones.
        timings: Timings,
    },
}

/// Milestones of a job on the engine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// When it was submitted.
    pub arrived: Duration,
    /// When a step first took it in.
    pub scheduled: Duration,
    /// When its first token came out; the end for a job without tokens.
    pub first_token: Duration,
    /// When it ended.
    pub finished: Duration,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Vacant,
    /// In the API server, not yet seen by the scheduler.
    Arriving,
    Waiting,
    /// Passed over because its adapter has no slot.
    Deferred,
    /// Running, prompt not yet computed.
    Prefill,
    /// Running, one token a step.
    Decode,
}

/// The engine's record of a job. Progress of a decoding job is not written per step: it follows from the step count.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub generation: u32,
    pub state: State,
    pub job: Job,
    /// Hashes of all full blocks known so far: the prompt's, then generated ones.
    pub hashes: Vec<u64>,
    pub blocks: Vec<u32>,
    /// Leading blocks that carry their hash in the pool.
    pub published: u32,
    /// Tokens in the KV cache when the present state began (or, in prefill, by now).
    pub computed: u32,
    /// Tokens to compute before the next one is sampled.
    pub goal: u32,
    /// Prefill tokens in the step in progress.
    pub chunk: u32,
    /// Tokens generated when the present state began.
    pub produced: u32,
    /// Tokens reported to the driver.
    pub reported: u32,
    /// The step from which on it decodes.
    pub decode_from: u64,
    /// Its place in the wheel: bucket and position there.
    pub bucket: u32,
    pub position: u32,
    /// Neighbours in the running list.
    pub prev: u32,
    pub next: u32,
    /// Order of arrival.
    pub ordinal: u64,
    /// Order of (the last) admission, which is the order of the running list.
    pub admitted: u64,
    pub cached_tokens: u32,
    pub preemptions: u32,
    pub arrived_ns: u64,
    pub scheduled_ns: u64,
    pub first_token_ns: u64,
}

impl Slot {
    pub fn id(&self, slot: u32) -> JobId {
        JobId { generation: self.generation, slot }
    }

    /// Sort key of the priority policy.
    pub fn rank(&self) -> (i32, u64) {
        (self.job.priority, self.ordinal)
    }

    /// Tokens in the KV cache at the start of step `step`.
    pub fn computed_at(&self, step: u64) -> u32 {
        self.computed + if self.state == State::Decode { (step - self.decode_from) as u32 } else { 0 }
    }

    /// Tokens generated before step `step`.
    pub fn produced_at(&self, step: u64) -> u32 {
        self.produced + if self.state == State::Decode { (step - self.decode_from) as u32 } else { 0 }
    }
}

/// All records, dense, with vacant slots used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    pub all: Vec<Slot>,
    vacant: Vec<u32>,
    submitted: u64,
}

impl Slots {
    /// Jobs in the engine.
    pub fn len(&self) -> usize {
        self.all.len() - self.vacant.len()
    }

    pub fn insert(&mut self, job: Job, arrived_ns: u64) -> u32 {
        let slot = self.vacant.pop().unwrap_or(self.all.len() as u32);
        let (generation, blocks) = match self.all.get_mut(slot as usize) {
            Some(old) => (old.generation + 1, core::mem::take(&mut old.blocks)),
            None => (0, Vec::new()),
        };
        let mut job = job;
        let record = Slot {
            generation,
            state: State::Arriving,
            hashes: core::mem::take(&mut job.prompt.hashes),
            goal: job.prompt.tokens,
            job,
            blocks,
            published: 0,
            computed: 0,
            chunk: 0,
            produced: 0,
            reported: 0,
            decode_from: 0,
            bucket: NONE,
            position: NONE,
            prev: NONE,
            next: NONE,
            ordinal: self.submitted,
            admitted: 0,
            cached_tokens: 0,
            preemptions: 0,
            arrived_ns,
            scheduled_ns: u64::MAX,
            first_token_ns: u64::MAX,
        };
        self.submitted += 1;
        match self.all.get_mut(slot as usize) {
            Some(old) => *old = record,
            None => self.all.push(record),
        }
        slot
    }

    pub fn remove(&mut self, slot: u32) {
        debug_assert!(self[slot].state != State::Vacant, "removed twice");
        self[slot].state = State::Vacant;
        self.vacant.push(slot);
    }

    /// The slot of a job that has not ended.
    pub fn live(&self, id: JobId) -> Option<u32> {
        let slot = self.all.get(id.slot as usize)?;
        (slot.generation == id.generation && slot.state != State::Vacant).then_some(id.slot)
    }
}

impl core::ops::Index<u32> for Slots {
    type Output = Slot;
    fn index(&self, slot: u32) -> &Slot {
        &self.all[slot as usize]
    }
}

impl core::ops::IndexMut<u32> for Slots {
    fn index_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.all[slot as usize]
    }
}
