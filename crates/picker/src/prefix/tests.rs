use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use roadstead_core::{BlockHash, Time};

use super::{HISTORY_BLOCKS_MAX, HistoryCapacity, Matches, PrefixIndex, PrefixShape};
use crate::pool::{Slot, SlotSet};

/// The same as the index in the plainest words: for each slot its blocks, the least recently used first.
#[derive(Default)]
struct Naive {
    slots: HashMap<u16, (usize, Vec<BlockHash>)>,
}

impl Naive {
    fn trim(&mut self, slot: u16) {
        if let Some((capacity, blocks)) = self.slots.get_mut(&slot) {
            let surplus = blocks.len().saturating_sub(*capacity);
            blocks.drain(..surplus);
        }
    }

    fn record(&mut self, slot: u16, prompt: &[BlockHash]) {
        let Some((_, blocks)) = self.slots.get_mut(&slot) else { return };
        for hash in prompt.iter().rev() {
            blocks.retain(|held| held != hash);
            blocks.push(*hash);
        }
        self.trim(slot);
    }

    fn depth(&self, slot: u16, prompt: &[BlockHash]) -> u32 {
        let Some((_, blocks)) = self.slots.get(&slot) else { return 0 };
        prompt.iter().take_while(|hash| blocks.contains(hash)).count() as u32
    }
}

#[derive(Clone, Debug)]
enum Step {
    Capacity(u16, usize),
    Record(u16, usize, usize),
    Forget(u16),
}

/// More slots than one word of a bit set has, most steps on a few of them.
fn slot() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 0u16..6, 2 => 60u16..70, 1 => 0u16..140]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (slot(), 0usize..40).prop_map(|(slot, blocks)| Step::Capacity(slot, blocks)),
        12 => (slot(), 0usize..12, 0usize..14).prop_map(|(slot, prompt, blocks)| Step::Record(slot, prompt, blocks)),
        1 => slot().prop_map(Step::Forget),
    ]
}

/// The first `blocks` blocks of prompt `number`; prompts share their beginnings in threes.
fn prompt(number: usize, blocks: usize) -> Vec<BlockHash> {
    let hash = |seed: usize, block: usize| {
        let mixed = ((seed * 1_000 + block + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    };
    (0..blocks).map(|block| hash(if block < 5 { number / 3 } else { 100 + number }, block)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_index_knows_what_a_naive_one_knows(steps in prop::collection::vec(step(), 1..150)) {
        let index = PrefixIndex::default();
        let mut naive = Naive::default();
        let mut matches = Matches::default();
        for (number, step) in steps.iter().enumerate() {
            let now = Time::from_millis(number as u64);
            match *step {
                Step::Capacity(slot, blocks) => {
                    index.set_capacity(Slot::new(slot), blocks);
                    naive.slots.entry(slot).or_default().0 = blocks;
                    naive.trim(slot);
                }
                Step::Record(slot, number, blocks) => {
                    let prompt = prompt(number, blocks);
                    index.record(now, Slot::new(slot), &prompt);
                    naive.record(slot, &prompt);
                }
                Step::Forget(slot) => {
                    index.forget(Slot::new(slot));
                    if let Some((_, blocks)) = naive.slots.get_mut(&slot) {
                        blocks.clear();
                    }
                }
            }
            let asked = prompt(number % 12, 14);
            index.lookup(&asked, &SlotSet::below(140), &mut matches);
            let mut depths: Vec<u32> = (0..140).map(|slot| naive.depth(slot, &asked)).collect();
            depths.sort_unstable_by(|a, b| b.cmp(a));
            prop_assert_eq!((matches.most(), matches.second()), (depths[0], depths[1]));
            let warmest = matches.warmest().map_or(0, |slot| naive.depth(slot.number(), &asked));
            prop_assert_eq!(warmest, depths[0]);
            for slot in 0..140 {
                prop_assert_eq!(matches.blocks(Slot::new(slot)), naive.depth(slot, &asked), "slot {}", slot);
            }
        }
        for (slot, (capacity, blocks)) in &naive.slots {
            let fill = index.fill(Slot::new(*slot));
            prop_assert_eq!((fill.blocks, fill.capacity), (blocks.len(), *capacity));
        }
        let held: HashSet<BlockHash> = naive.slots.values().flat_map(|(_, blocks)| blocks.iter().copied()).collect();
        prop_assert_eq!(index.len(), held.len(), "a block that nobody holds is gone");
    }
}

#[test]
fn a_prompt_longer_than_the_history_keeps_its_beginning() {
    let index = PrefixIndex::default();
    let mut matches = Matches::default();
    index.set_capacity(Slot::new(0), 4);
    index.record(Time::ZERO, Slot::new(0), &prompt(0, 10));
    index.lookup(&prompt(0, 10), &SlotSet::below(4), &mut matches);
    assert_eq!(matches.blocks(Slot::new(0)), 4);
}

#[test]
fn a_slot_without_capacity_remembers_nothing() {
    let index = PrefixIndex::default();
    let mut matches = Matches::default();
    assert_eq!(index.record(Time::ZERO, Slot::new(3), &prompt(0, 10)).blocks, 0);
    index.lookup(&prompt(0, 10), &SlotSet::below(4), &mut matches);
    assert_eq!(matches.blocks(Slot::new(3)), 0);
}

#[test]
fn the_oldest_use_is_known() {
    let index = PrefixIndex::default();
    index.set_capacity(Slot::new(0), 20);
    index.record(Time::from_millis(1), Slot::new(0), &prompt(0, 4));
    index.record(Time::from_millis(2), Slot::new(0), &prompt(5, 4));
    assert_eq!(index.fill(Slot::new(0)).oldest, Some(Time::from_millis(1)));
    index.record(Time::from_millis(3), Slot::new(0), &prompt(0, 4));
    assert_eq!(index.fill(Slot::new(0)).oldest, Some(Time::from_millis(2)));
}

#[test]
fn history_follows_the_size_of_the_cache_within_its_bound() {
    let tokens = HistoryCapacity::KvTokens { unknown: 7 };
    let shape = PrefixShape { block_bytes: 512, blocks_max: 2_048, capacity: tokens };
    for (kv, blocks) in [
        (None, 7),
        (Some((27_701, 16)), 3_462),
        (Some((1, 1)), 1),
        (Some((u32::MAX, u32::MAX)), HISTORY_BLOCKS_MAX),
    ] {
        assert_eq!(tokens.blocks(&shape, kv), blocks, "{kv:?}");
    }
    let blocks = HistoryCapacity::KvBlocks { unknown: 31_250 };
    assert_eq!(blocks.blocks(&shape, None), 31_250);
    assert_eq!(blocks.blocks(&shape, Some((500, 16))), 500);
}
