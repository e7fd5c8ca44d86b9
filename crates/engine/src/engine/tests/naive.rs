//! The scheduler again, written as plainly as its rules and one token at a time, to compare with.

use proptest::prelude::*;

use super::*;
use crate::blocks::BlockPool;

struct Sequence {
    job: Job,
    hashes: Vec<u64>,
    blocks: Vec<u32>,
    published: usize,
    /// Tokens in the KV cache.
    computed: u32,
    produced: u32,
    scheduled: u32,
    preempted: bool,
    number: usize,
}

impl Sequence {
    fn known(&self) -> u32 {
        self.job.prompt.tokens() + self.produced
    }
}

/// Ends (step, job) of all jobs: first come, first served, 10 ms a step.
struct Naive {
    config: EngineConfig,
    pool: BlockPool,
    running: Vec<Sequence>,
    waiting: Vec<Sequence>,
    ends: Vec<(u64, usize)>,
    preemptions: u64,
    hits: u64,
}

impl Naive {
    fn grow(&mut self, at: usize, take: u32) {
        let s = &mut self.running[at];
        s.scheduled = take;
        while (s.blocks.len() as u32) < (s.computed + take).div_ceil(BLOCK_TOKENS) {
            s.blocks.push(self.pool.take().expect("counted"));
        }
        let full = if self.config.prefix_caching { ((s.computed + take) / BLOCK_TOKENS) as usize } else { 0 };
        while s.hashes.len() < full {
            let parent = s.hashes.last().copied().unwrap_or(s.job.prompt.salt);
            s.hashes.push(s.job.prompt.generated_block(s.hashes.len() as u32, parent, s.job.output_seed));
        }
        for block in s.published..full {
            self.pool.publish(s.blocks[block], s.hashes[block]);
        }
        s.published = s.published.max(full);
    }

    fn release(&mut self, s: &mut Sequence) {
        for block in s.blocks.drain(..).rev() {
            self.pool.release(block);
        }
    }

    fn schedule(&mut self) {
        let mut budget = self.config.max_batched_tokens;
        let threshold = self.config.long_prefill_token_threshold.unwrap_or(u32::MAX);
        let (mut at, mut preempted) = (0, false);
        while at < self.running.len() {
            let s = &self.running[at];
            let take = (s.known() - s.computed).min(threshold).min(budget);
            assert!(take > 0, "nobody that runs is left out");
            let needed = (s.computed + take).div_ceil(BLOCK_TOKENS) - s.blocks.len() as u32;
            while self.pool.free() < needed && at < self.running.len() {
                let mut victim = self.running.pop().expect("somebody runs");
                self.release(&mut victim);
                (victim.computed, victim.published, victim.scheduled) = (0, 0, 0);
                victim.preempted = true;
                self.waiting.insert(0, victim);
                self.preemptions += 1;
                preempted = true;
            }
            if at < self.running.len() {
                self.grow(at, take);
                budget -= take;
                at += 1;
            }
        }
        while !preempted && budget > 0 && !self.waiting.is_empty() {
            if self.running.len() as u32 == self.config.max_num_seqs || !self.admit(&mut budget, threshold) {
                break;
            }
        }
    }

    fn admit(&mut self, budget: &mut u32, threshold: u32) -> bool {
        let s = &self.waiting[0];
        let most = ((s.known() - 1) / BLOCK_TOKENS) as usize;
        let found: Vec<u32> = s.hashes.iter().take(most).map_while(|hash| self.pool.find(*hash)).collect();
        let idle = found.iter().filter(|block| self.pool.refs(**block) == 0).count() as u32;
        if s.known().div_ceil(BLOCK_TOKENS) - found.len() as u32 + idle > self.pool.free() {
            return false;
        }
        let mut s = self.waiting.remove(0);
        found.iter().for_each(|block| self.pool.share(*block));
        s.published = found.len();
        s.computed = found.len() as u32 * BLOCK_TOKENS;
        if !s.preempted {
            self.hits += u64::from(s.computed);
        }
        s.blocks = found;
        let take = (s.known() - s.computed).min(threshold).min(*budget);
        *budget -= take;
        self.running.push(s);
        self.grow(self.running.len() - 1, take);
        true
    }

    fn update(&mut self, step: u64) {
        let mut at = 0;
        while at < self.running.len() {
            let s = &mut self.running[at];
            s.computed += s.scheduled;
            s.produced += u32::from(s.computed == s.known());
            if s.produced == s.job.output_tokens {
                let mut s = self.running.remove(at);
                self.release(&mut s);
                self.ends.push((step, s.number));
            } else {
                at += 1;
            }
        }
    }
}

/// Arrival step, prompt (family and length) and answer length.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u8, usize, u32)>> {
    prop::collection::vec((0..60u64, 0..4u8, 1..120usize, 1..60u32), 1..40)
}

proptest! {
    #[test]
    fn the_engine_schedules_as_the_naive_scheduler_does(
        mut arrivals in arrivals(),
        blocks in 12..40u32,
        budget in 8..100u32,
        max_num_seqs in 1..8u32,
        threshold in prop::option::of(1..50u32),
        prefix_caching in any::<bool>(),
    ) {
        arrivals.sort_by_key(|arrival| arrival.0);
        let config = EngineConfig {
            max_num_seqs,
            max_batched_tokens: budget,
            long_prefill_token_threshold: threshold,
            prefix_caching,
            ..small(blocks)
        };
        let mut engine = Engine::new(config);
        let mut naive = Naive {
            config: engine.config().clone(),
            pool: BlockPool::new(blocks),
            running: Vec::new(),
            waiting: Vec::new(),
            ends: Vec::new(),
            preemptions: 0,
            hits: 0,
        };
        let (mut ids, mut out, mut step, mut next) = (Vec::new(), Vec::new(), 0, 0);
        while next < arrivals.len() || !naive.running.is_empty() || !naive.waiting.is_empty() {
            let now = 10 * MS * step as u32;
            while let Some((_, family, length, output)) = arrivals.get(next).filter(|a| a.0 <= step).copied() {
                let mut job = job(family, length, output);
                job.output_seed = next as u64;
                if u64::from(job.prompt.tokens() + output) > u64::from(blocks * BLOCK_TOKENS) {
                    prop_assert!(engine.submit(now, job).is_err());
                } else {
                    ids.push((engine.submit(now, job.clone()).expect("it fits"), next));
                    let hashes = if prefix_caching { job.prompt.block_hashes().to_vec() } else { Vec::new() };
                    let known = Sequence {
                        job, hashes, blocks: Vec::new(), published: 0, computed: 0, produced: 0, scheduled: 0, preempted: false, number: next,
                    };
                    naive.waiting.push(known);
                }
                next += 1;
            }
            engine.advance(now, &mut out);
            prop_assert_eq!(engine.check_invariants(), Ok(()));
            naive.schedule();
            prop_assert_eq!(engine.stats().running as usize, naive.running.len());
            prop_assert_eq!(engine.stats().waiting() as usize, naive.waiting.len());
            prop_assert_eq!(engine.stats().kv_usage, naive.pool.usage());
            step += 1;
            naive.update(step);
        }
        engine.advance(10 * MS * step as u32, &mut out);
        let ends: Vec<_> = out.iter().filter_map(|output| match output {
            Output::Finished { job, timings, .. } => {
                let number = ids.iter().find(|(id, _)| id == job).expect("submitted").1;
                Some((timings.finished.as_millis() as u64 / 10, number))
            }
            _ => None,
        }).collect();
        prop_assert_eq!(ends, naive.ends);
        prop_assert_eq!(engine.stats().counters.preemptions, naive.preemptions);
        prop_assert_eq!(engine.stats().counters.prefix_cache_hits, naive.hits);
    }
}
