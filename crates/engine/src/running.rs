//! The running jobs: a linked list in order of admission, and the wheel of the decoding ones.
//!
//! A decoding job does the same in every step until it needs its next block or makes its last token. So the wheel keeps each
//! one in the bucket of the step in which that happens, at most a block's length ahead, and a step touches only the jobs
//! that are due. It always holds that each decoding job is in exactly one bucket and no other job is in any.

use crate::job::{NONE, Slots, State};
use crate::prompt::BLOCK_TOKENS;

/// The running list, intrusive in the slots.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub head: u32,
    pub tail: u32,
    pub len: u32,
    /// Admissions so far.
    admitted: u64,
}

impl Default for Running {
    fn default() -> Running {
        Running { head: NONE, tail: NONE, len: 0, admitted: 0 }
    }
}

impl Running {
    pub fn push(&mut self, slots: &mut Slots, slot: u32) {
        (slots[slot].prev, slots[slot].next) = (self.tail, NONE);
        match self.tail {
            NONE => self.head = slot,
            tail => slots[tail].next = slot,
        }
        self.tail = slot;
        self.len += 1;
        self.admitted += 1;
        slots[slot].admitted = self.admitted;
    }

    pub fn remove(&mut self, slots: &mut Slots, slot: u32) {
        let (prev, next) = (slots[slot].prev, slots[slot].next);
        match prev {
            NONE => self.head = next,
            prev => slots[prev].next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => slots[next].prev = prev,
        }
        self.len -= 1;
    }

    /// In order of admission.
    pub fn iter<'a>(&self, slots: &'a Slots) -> impl Iterator<Item = u32> + 'a {
        let some = |slot: u32| (slot != NONE).then_some(slot);
        core::iter::successors(some(self.head), move |slot| some(slots[*slot].next))
    }
}

/// What a decoding job is due for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Its next token needs a new block: at the start of the step.
    Block,
    /// It makes its last token: at the end of the step.
    End,
}

/// Decoding jobs by the step in which they are due: one ring of buckets for each kind.
#[derive(Clone, Debug)]
pub(crate) struct Wheel {
    buckets: Vec<Vec<u32>>,
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel { buckets: vec![Vec::new(); Wheel::BUCKETS as usize] }
    }
}

impl Wheel {
    pub const BUCKETS: u32 = 2 * BLOCK_TOKENS;

    /// The bucket of what is due in `step`.
    pub fn bucket(step: u64, due: Due) -> u32 {
        let ring = (step % u64::from(BLOCK_TOKENS)) as u32;
        match due {
            Due::Block => ring,
            Due::End => BLOCK_TOKENS + ring,
        }
    }

    pub fn jobs(&self, bucket: u32) -> &[u32] {
        &self.buckets[bucket as usize]
    }

    /// When the decoding job is due next, seen from the start of `step`: the step, and for what.
    pub fn next_due(slots: &Slots, slot: u32, step: u64) -> (u64, Due) {
        let record = &slots[slot];
        debug_assert!(record.state == State::Decode);
        let room = record.blocks.len() as u32 * BLOCK_TOKENS - record.computed_at(step);
        let left = record.job.output_tokens - record.produced_at(step);
        if left <= room {
            (step + u64::from(left) - 1, Due::End)
        } else {
            (step + u64::from(room), Due::Block)
        }
    }

    /// Puts a decoding job where it is due next, seen from the start of `step`.
    pub fn insert(&mut self, slots: &mut Slots, slot: u32, step: u64) {
        let (due_step, due) = Wheel::next_due(slots, slot, step);
        let bucket = Wheel::bucket(due_step, due);
        slots[slot].bucket = bucket;
        slots[slot].position = self.buckets[bucket as usize].len() as u32;
        self.buckets[bucket as usize].push(slot);
    }

    pub fn remove(&mut self, slots: &mut Slots, slot: u32) {
        let (bucket, position) = (slots[slot].bucket as usize, slots[slot].position as usize);
        self.buckets[bucket].swap_remove(position);
        if let Some(moved) = self.buckets[bucket].get(position) {
            slots[*moved].position = position as u32;
        }
        slots[slot].bucket = NONE;
    }
}
