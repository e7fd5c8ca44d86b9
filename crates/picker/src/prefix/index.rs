//! The index: block hash → endpoints that were sent a prompt through that block.

use std::ops::Range;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use roadstead_core::{BlockHash, Time};

use super::HistoryFill;
use super::holders::{Held, Holders};
use super::matches::Matches;
use super::recency::Recency;
use crate::pool::{Slot, SlotSet};

/// Locks that the hash space is spread over.
const SHARDS: usize = 8;

type Blocks = HashMap<BlockHash, Holders, foldless::Passthrough>;

/// Routing history by prompt block.
///
/// An endpoint that holds a block holds all blocks before it: it was sent them together, and the last is forgotten
/// first. Lookups rely on it.
#[derive(Debug)]
pub struct PrefixIndex {
    shards: [RwLock<Blocks>; SHARDS],
    endpoints: RwLock<Vec<Mutex<Recency>>>,
}

impl Default for PrefixIndex {
    fn default() -> PrefixIndex {
        PrefixIndex { shards: std::array::from_fn(|_| RwLock::default()), endpoints: RwLock::new(Vec::new()) }
    }
}

impl PrefixIndex {
    /// Sets how many blocks are remembered for `slot`, and makes room for the slot.
    pub fn set_capacity(&self, slot: Slot, blocks: usize) {
        let mut endpoints = self.endpoints.write();
        while endpoints.len() <= slot.index() {
            endpoints.push(Mutex::new(Recency::new(0)));
        }
        let mut recency = endpoints[slot.index()].lock();
        recency.set_capacity(blocks);
        let mut writer = Writer::new(self, slot);
        while let Some(hash) = recency.pop_over_capacity() {
            writer.remove(hash);
        }
    }

    /// Notes that a prompt with these blocks was sent to `slot`, and returns the slot's fill. A slot without
    /// capacity remembers nothing.
    pub fn record(&self, now: Time, slot: Slot, blocks: &[BlockHash]) -> HistoryFill {
        let endpoints = self.endpoints.read();
        let Some(recency) = endpoints.get(slot.index()) else { return HistoryFill::default() };
        let mut recency = recency.lock();
        let mut writer = None;
        recency.touch_prompt(now, blocks, |hash| {
            writer.get_or_insert_with(|| Writer::new(self, slot)).add(hash);
        });
        if let Some(mut writer) = writer {
            while let Some(hash) = recency.pop_over_capacity() {
                writer.remove(hash);
            }
        }
        recency.fill()
    }

    /// Forgets everything about `slot`: it left, or its engine started anew.
    pub fn forget(&self, slot: Slot) {
        let endpoints = self.endpoints.read();
        let Some(recency) = endpoints.get(slot.index()) else { return };
        let mut recency = recency.lock();
        let mut writer = Writer::new(self, slot);
        while let Some(hash) = recency.pop_oldest() {
            writer.remove(hash);
        }
    }

    /// Finds for every endpoint of `within` how many leading blocks of the prompt it holds.
    pub fn lookup(&self, blocks: &[BlockHash], within: &SlotSet, matches: &mut Matches) {
        matches.reset(within);
        let Some(last) = blocks.len().checked_sub(1) else { return };
        let reader =
            Reader { guards: std::array::from_fn(|shard| self.shards[shard].read()), blocks, within };
        let first = reader.held(0);
        let deepest = if last == 0 { first } else { reader.held(last) };
        if first.count() > 0 {
            reader.descend(0..last, first, deepest, matches);
            matches.settle(deepest, Held::NONE, within, blocks.len() as u32);
        }
    }

    /// How full the history of `slot` is.
    pub fn fill(&self, slot: Slot) -> HistoryFill {
        let endpoints = self.endpoints.read();
        endpoints.get(slot.index()).map_or(HistoryFill::default(), |recency| recency.lock().fill())
    }

    /// How many different blocks are remembered.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Changes of what one endpoint holds. All shards are locked at once, in their order as lookups do: a lock for each
/// block costs more than what is done under it.
struct Writer<'a> {
    guards: [RwLockWriteGuard<'a, Blocks>; SHARDS],
    slot: u16,
}

impl<'a> Writer<'a> {
    fn new(index: &'a PrefixIndex, slot: Slot) -> Writer<'a> {
        Writer { guards: std::array::from_fn(|shard| index.shards[shard].write()), slot: slot.number() }
    }

    fn add(&mut self, hash: BlockHash) {
        let slot = self.slot;
        self.guards[shard_of(hash)]
            .entry(hash)
            .and_modify(|holders| holders.insert(slot))
            .or_insert_with(|| Holders::one(slot));
    }

    fn remove(&mut self, hash: BlockHash) {
        if let Entry::Occupied(mut entry) = self.guards[shard_of(hash)].entry(hash)
            && entry.get_mut().remove(self.slot)
        {
            entry.remove();
        }
    }
}

/// One lookup. Nothing changes while it reads.
struct Reader<'a> {
    guards: [RwLockReadGuard<'a, Blocks>; SHARDS],
    blocks: &'a [BlockHash],
    within: &'a SlotSet,
}

impl Reader<'_> {
    fn held(&self, block: usize) -> Held<'_> {
        let hash = self.blocks[block];
        self.guards[shard_of(hash)].get(&hash).map_or(Held::NONE, Holders::held)
    }

    /// Settles every endpoint that holds the range's first block and not its last. Since holders only become fewer,
    /// equally many at both ends are the same ones, and nothing between them needs to be read.
    fn descend(&self, range: Range<usize>, first: Held<'_>, last: Held<'_>, matches: &mut Matches) {
        if first.count() == last.count() {
            return;
        }
        if range.end - range.start == 1 {
            return matches.settle(first, last, self.within, range.end as u32);
        }
        let middle = range.start.midpoint(range.end);
        let held = self.held(middle);
        self.descend(range.start..middle, first, held, matches);
        self.descend(middle..range.end, held, last, matches);
    }
}

/// The low bits find the place inside a shard.
fn shard_of(hash: BlockHash) -> usize {
    (hash >> 56) as usize % SHARDS
}

/// Block hashes are already well mixed; hashing them again would only cost time.
mod foldless {
    use std::hash::{BuildHasher, Hasher};

    #[derive(Clone, Copy, Debug, Default)]
    pub(super) struct Passthrough;

    #[derive(Clone, Copy, Debug, Default)]
    pub(super) struct Value(u64);

    impl BuildHasher for Passthrough {
        type Hasher = Value;

        fn build_hasher(&self) -> Value {
            Value(0)
        }
    }

    impl Hasher for Value {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
            }
        }

        fn write_u64(&mut self, value: u64) {
            self.0 = value;
        }
    }
}
