//! One step as vLLM V1 schedules it: running jobs first, then, if none was preempted, waiting ones; and its end.
//!
//! Decodes take one token each and prefills share what is left of the budget. vLLM walks the running list in order; here
//! decodes are charged first, which is the same: a job is admitted only with budget left after all before it, and
//! none of them ever takes more in a later step, so no decode is ever left out.
//! A generated block is published when the next one is taken or the job stops, one step later than in vLLM.

use core::time::Duration;

use crate::config::{Policy, TokenOutputs};
use crate::engine::Engine;
use crate::job::{FinishReason, NONE, Output, State, Timings};
use crate::prompt::BLOCK_TOKENS;
use crate::running::{Due, Wheel};

impl Engine {
    /// Decides what the next step holds.
    pub(crate) fn schedule(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        self.chunk_tokens = 0;
        for slot in &self.prefills {
            self.slots[*slot].chunk = 0;
        }
        if self.blocks_suffice() {
            self.grow_all(now_ns, out);
        } else if self.grow_or_preempt(now_ns, out) {
            return;
        }
        self.admit_waiting(now_ns);
    }

    /// Ends the step: its tokens come out, finished jobs leave, computed prompts start to decode.
    pub(crate) fn end_step(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let ended = self.step;
        self.step += 1;
        self.counters.generation_tokens += u64::from(self.decodes);
        self.context_tokens += u64::from(self.decodes);
        if self.config.token_outputs == TokenOutputs::EveryStep {
            let mut slot = self.running.head;
            while slot != NONE {
                if self.slots[slot].state == State::Decode {
                    self.report_tokens(slot, now_ns, out);
                }
                slot = self.slots[slot].next;
            }
        }
        let mut ending = core::mem::take(&mut self.ending);
        ending.extend_from_slice(self.wheel.jobs(Wheel::bucket(ended, Due::End)));
        self.end_chunks(&mut ending, now_ns, out);
        ending.sort_unstable_by_key(|slot| self.slots[*slot].admitted);
        for slot in ending.drain(..) {
            self.finish(slot, now_ns, out);
        }
        self.ending = ending;
    }

    /// Takes a job out of the running list and gives its blocks back. Its place in the queue and its record are the caller's.
    pub(crate) fn stop_running(&mut self, slot: u32) {
        let computed = self.slots[slot].computed_at(self.step);
        self.publish(slot, computed);
        self.running.remove(&mut self.slots, slot);
        if self.slots[slot].state == State::Decode {
            self.wheel.remove(&mut self.slots, slot);
            self.decodes -= 1;
            self.context_tokens -= u64::from(computed);
        } else {
            self.prefills.retain(|other| *other != slot);
            self.chunk_tokens -= self.slots[slot].chunk;
        }
        for block in self.slots[slot].blocks.drain(..).rev() {
            self.pool.release(block);
        }
        if let Some(adapter) = self.slots[slot].job.adapter {
            self.loras.job_stops(adapter);
        }
    }

    /// Where a job belongs in the waiting queue under the priority policy.
    pub(crate) fn place_by_rank(&self, slot: u32) -> usize {
        let rank = self.slots[slot].rank();
        self.waiting.partition_point(|other| self.slots[*other].rank() < rank)
    }

    fn budget(&self) -> u32 {
        self.config.max_batched_tokens.saturating_sub(self.decodes + self.chunk_tokens)
    }

    /// Tokens that a prefilling job would take with this budget, and the blocks it would need for them.
    fn plan_chunk(&self, slot: u32, budget: u32) -> (u32, u32) {
        let record = &self.slots[slot];
        let wanted =
            (record.goal - record.computed).min(self.config.long_prefill_token_threshold.unwrap_or(u32::MAX));
        let chunk = wanted.min(budget);
        (chunk, (record.computed + chunk).div_ceil(BLOCK_TOKENS) - record.blocks.len() as u32)
    }

    fn blocks_suffice(&self) -> bool {
        let mut needed = self.wheel.jobs(Wheel::bucket(self.step, Due::Block)).len() as u32;
        let mut budget = self.budget();
        for slot in &self.prefills {
            let (chunk, blocks) = self.plan_chunk(*slot, budget);
            budget -= chunk;
            needed += blocks;
        }
        needed <= self.pool.free()
    }

    /// Gives every running job that needs some its blocks, when there are enough of them.
    fn grow_all(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let due = Wheel::bucket(self.step, Due::Block);
        let mut at = 0;
        while let Some(slot) = self.wheel.jobs(due).get(at).copied() {
            self.grow_decode(slot, now_ns, out);
            at += usize::from(self.slots[slot].bucket == due);
        }
        for at in 0..self.prefills.len() {
            let slot = self.prefills[at];
            let (chunk, _) = self.plan_chunk(slot, self.budget());
            self.take_chunk(slot, chunk);
        }
    }

    /// The same walk in running order when blocks are short: preempts until the rest fits. True if it had to.
    fn grow_or_preempt(&mut self, now_ns: u64, out: &mut Vec<Output>) -> bool {
        let due = Wheel::bucket(self.step, Due::Block);
        let mut preempted = false;
        let mut slot = self.running.head;
        while slot != NONE {
            let prefill = self.slots[slot].state == State::Prefill;
            let (chunk, needed) = match prefill {
                true => self.plan_chunk(slot, self.budget()),
                false => (0, u32::from(self.slots[slot].bucket == due)),
            };
            let mut next = None;
            while self.pool.free() < needed && next.is_none() {
                let victim = self.victim();
                next = (victim == slot).then_some(self.slots[slot].next);
                self.preempt(victim);
                preempted = true;
            }
            if next.is_none() {
                match prefill {
                    true => self.take_chunk(slot, chunk),
                    false if needed > 0 => self.grow_decode(slot, now_ns, out),
                    false => {}
                }
            }
            slot = next.unwrap_or(self.slots[slot].next);
        }
        preempted
    }

    fn victim(&self) -> u32 {
        match self.config.policy {
            Policy::Fcfs => self.running.tail,
            Policy::Priority => self
                .running
                .iter(&self.slots)
                .max_by_key(|slot| self.slots[*slot].rank())
                .expect("somebody runs when blocks are short"),
        }
    }

    /// Back to the front of the queue; everything is computed again, as far as the cache has not kept it.
    fn preempt(&mut self, slot: u32) {
        let produced = self.slots[slot].produced_at(self.step);
        self.stop_running(slot);
        let record = &mut self.slots[slot];
        record.state = State::Waiting;
        record.produced = produced;
        record.goal = record.job.prompt.tokens + produced;
        (record.computed, record.published, record.chunk) = (0, 0, 0);
        record.preemptions += 1;
        if let Some(adapter) = record.job.adapter {
            self.loras.job_waits(adapter);
        }
        self.counters.preemptions += 1;
        match self.config.policy {
            Policy::Fcfs => self.waiting.push_front(slot),
            Policy::Priority => {
                let at = self.place_by_rank(slot);
                self.waiting.insert(at, slot);
            }
        }
    }

    /// Gives a decoding job its next block; the one before is full.
    fn grow_decode(&mut self, slot: u32, now_ns: u64, out: &mut Vec<Output>) {
        self.publish(slot, self.slots[slot].computed_at(self.step));
        let block = self.pool.take().expect("blocks were counted before");
        self.slots[slot].blocks.push(block);
        self.report_tokens(slot, now_ns, out);
        if let (_, Due::End) = Wheel::next_due(&self.slots, slot, self.step) {
            self.wheel.remove(&mut self.slots, slot);
            self.wheel.insert(&mut self.slots, slot, self.step);
        }
    }

    /// Gives a prefilling job its tokens of this step and their blocks. Full blocks can be found from now on, since
    /// whoever finds them computes after them.
    fn take_chunk(&mut self, slot: u32, chunk: u32) {
        let computed = self.slots[slot].computed + chunk;
        while (self.slots[slot].blocks.len() as u32) < computed.div_ceil(BLOCK_TOKENS) {
            let block = self.pool.take().expect("blocks were counted before");
            self.slots[slot].blocks.push(block);
        }
        self.slots[slot].chunk = chunk;
        self.chunk_tokens += chunk;
        self.publish(slot, computed);
    }

    /// Hashes the job's blocks that are full once `computed` tokens are.
    fn publish(&mut self, slot: u32, computed: u32) {
        if !self.config.prefix_caching {
            return;
        }
        let full = computed / BLOCK_TOKENS;
        self.know_hashes(slot, full);
        let record = &mut self.slots[slot];
        for at in record.published..full {
            self.pool.publish(record.blocks[at as usize], record.hashes[at as usize]);
        }
        record.published = record.published.max(full);
    }

    /// Makes sure that the hashes of the first `blocks` blocks are known.
    fn know_hashes(&mut self, slot: u32, blocks: u32) {
        let record = &mut self.slots[slot];
        for index in record.hashes.len() as u32..blocks {
            let parent = record.hashes.last().copied().unwrap_or(record.job.prompt.salt);
            record.hashes.push(record.job.prompt.generated_block(index, parent, record.job.output_seed));
        }
    }

    /// Admits waiting jobs in order while budget and places last. One that only lacks an adapter slot is passed over; one that
    /// lacks blocks holds up all behind it.
    fn admit_waiting(&mut self, now_ns: u64) {
        let mut passed = 0;
        while self.running.len < self.config.max_num_seqs && self.budget() > 0 {
            let Some((slot, was_deferred)) = self.next_waiting(passed) else {
                return;
            };
            let adapter = self.slots[slot].job.adapter;
            if adapter.is_some_and(|adapter| !self.loras.admits(adapter)) {
                if !was_deferred {
                    self.waiting.pop_front();
                    self.slots[slot].state = State::Deferred;
                    self.deferred.insert(passed, slot);
                }
                passed += 1;
                continue;
            }
            if !self.admit(slot, now_ns) {
                return;
            }
            match was_deferred {
                true => _ = self.deferred.remove(passed),
                false => _ = self.waiting.pop_front(),
            }
        }
    }

    /// The next job to look at after `passed` deferred ones, and whether it is itself a deferred one.
    fn next_waiting(&self, passed: usize) -> Option<(u32, bool)> {
        let deferred = self.deferred.get(passed).map(|slot| (*slot, true));
        let waiting = self.waiting.front().map(|slot| (*slot, false));
        match (deferred, waiting, self.config.policy) {
            (Some(d), Some(w), Policy::Priority) if self.slots[w.0].rank() < self.slots[d.0].rank() => {
                Some(w)
            }
            _ => deferred.or(waiting),
        }
    }

    /// Admits the job if all that it still has to compute fits in free blocks.
    fn admit(&mut self, slot: u32, now_ns: u64) -> bool {
        let goal = self.slots[slot].goal;
        let idle = self.look_up(slot, (goal - 1) / BLOCK_TOKENS);
        let found = self.found.len() as u32;
        if goal.div_ceil(BLOCK_TOKENS) - found + idle > self.pool.free() {
            return false;
        }
        for block in &self.found {
            self.pool.share(*block);
        }
        if let Some(adapter) = self.slots[slot].job.adapter {
            let cost = self.loras.bring(adapter);
            self.counters.lora_loads += u64::from(!cost.is_zero());
            self.stall += cost;
            self.loras.job_leaves_queue(adapter);
            self.loras.job_runs(adapter);
        }
        let record = &mut self.slots[slot];
        record.blocks.extend_from_slice(&self.found);
        record.published = found;
        record.computed = found * BLOCK_TOKENS;
        record.state = State::Prefill;
        if record.scheduled_ns == u64::MAX {
            record.scheduled_ns = now_ns;
            record.cached_tokens = record.computed;
            self.counters.prefix_cache_queries += u64::from(goal);
            self.counters.prefix_cache_hits += u64::from(record.computed);
        }
        self.running.push(&mut self.slots, slot);
        let (chunk, _) = self.plan_chunk(slot, self.budget());
        self.prefills.push(slot);
        self.take_chunk(slot, chunk);
        true
    }

    /// Finds the job's leading blocks in the cache, at most `blocks` (so that at least one token is left to compute), and says
    /// how many of them are free at present.
    fn look_up(&mut self, slot: u32, blocks: u32) -> u32 {
        self.found.clear();
        if !self.config.prefix_caching {
            return 0;
        }
        self.know_hashes(slot, blocks);
        let mut idle = 0;
        for hash in &self.slots[slot].hashes[..blocks as usize] {
            let Some(block) = self.pool.find(*hash) else {
                break;
            };
            idle += u32::from(self.pool.refs(block) == 0);
            self.found.push(block);
        }
        idle
    }

    /// Ends this step's prefill chunks. Jobs whose prompt is computed make a token; then they decode, or are `ending`.
    fn end_chunks(&mut self, ending: &mut Vec<u32>, now_ns: u64, out: &mut Vec<Output>) {
        self.chunk_tokens = 0;
        let mut at = 0;
        while let Some(slot) = self.prefills.get(at).copied() {
            let record = &mut self.slots[slot];
            record.computed += core::mem::take(&mut record.chunk);
            if record.computed < record.goal {
                at += 1;
                continue;
            }
            self.end_prefill(slot, now_ns, out);
            if self.slots[slot].produced == self.slots[slot].job.output_tokens {
                ending.push(slot);
                at += 1;
            } else {
                self.prefills.remove(at);
                self.start_decode(slot);
            }
        }
    }

    fn end_prefill(&mut self, slot: u32, now_ns: u64, out: &mut Vec<Output>) {
        let record = &mut self.slots[slot];
        let first = record.first_token_ns == u64::MAX;
        if first {
            record.first_token_ns = now_ns;
            self.counters.prompt_tokens += u64::from(record.job.prompt.tokens);
            self.counters.prompt_tokens_cached += u64::from(record.cached_tokens);
        }
        if record.job.output_tokens == 0 {
            return;
        }
        record.produced += 1;
        self.counters.generation_tokens += 1;
        if first {
            record.reported = 1;
            out.push(Output::FirstToken { job: record.id(slot), at: Duration::from_nanos(now_ns) });
        } else if self.config.token_outputs == TokenOutputs::EveryStep {
            self.report_tokens(slot, now_ns, out);
        }
    }

    fn start_decode(&mut self, slot: u32) {
        let record = &mut self.slots[slot];
        record.state = State::Decode;
        record.decode_from = self.step;
        self.context_tokens += u64::from(record.computed);
        self.decodes += 1;
        self.wheel.insert(&mut self.slots, slot, self.step);
    }

    /// Reports the tokens made since the last report.
    fn report_tokens(&mut self, slot: u32, now_ns: u64, out: &mut Vec<Output>) {
        let produced = self.slots[slot].produced_at(self.step);
        let record = &mut self.slots[slot];
        let count = produced - record.reported;
        if count > 0 {
            record.reported = produced;
            out.push(Output::Tokens { job: record.id(slot), count, at: Duration::from_nanos(now_ns) });
        }
    }

    fn finish(&mut self, slot: u32, now_ns: u64, out: &mut Vec<Output>) {
        self.report_tokens(slot, now_ns, out);
        self.stop_running(slot);
        let record = &self.slots[slot];
        match record.job.finish {
            FinishReason::Stop => self.counters.finished_stop += 1,
            FinishReason::Length => self.counters.finished_length += 1,
        }
        out.push(Output::Finished {
            job: record.id(slot),
            reason: record.job.finish,
            prompt_tokens: record.job.prompt.tokens,
            output_tokens: record.job.output_tokens,
            cached_tokens: record.cached_tokens,
            preemptions: record.preemptions,
            timings: Timings {
                arrived: Duration::from_nanos(record.arrived_ns),
                scheduled: Duration::from_nanos(record.scheduled_ns),
                first_token: Duration::from_nanos(record.first_token_ns),
                finished: Duration::from_nanos(now_ns),
            },
        });
        self.slots.remove(slot);
    }
}
