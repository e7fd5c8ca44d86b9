//! The index: block hash → endpoints that were sent a prompt through that block.

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use roadstead_core::{BlockHash, Time};

use super::HistoryFill;
use super::holders::Holders;
use super::recency::Recency;
use crate::pool::Slot;

/// Locks that the hash space is spread over.
const SHARDS: usize = 16;

type Shard = RwLock<HashMap<BlockHash, Holders, foldless::Passthrough>>;

/// Routing history by prompt block.
#[derive(Debug)]
pub struct PrefixIndex {
    shards: Box<[Shard]>,
    endpoints: RwLock<Vec<Mutex<Recency>>>,
}

/// Result of a lookup, kept by the caller so that its memory is used again.
#[derive(Debug, Default)]
pub struct Matches {
    depth: Vec<u32>,
    active: Vec<u64>,
    held: Vec<u64>,
}

impl Matches {
    /// Leading blocks of the looked-up prompt that the endpoint in `slot` holds.
    pub fn blocks(&self, slot: Slot) -> u32 {
        self.depth.get(slot.index()).copied().unwrap_or(0)
    }

    fn reset(&mut self) {
        self.depth.clear();
        self.active.clear();
    }

    fn settle(&mut self, dropped: u64, word: usize, depth: u32) {
        let mut bits = dropped;
        while bits != 0 {
            let slot = word * 64 + bits.trailing_zeros() as usize;
            if self.depth.len() <= slot {
                self.depth.resize(slot + 1, 0);
            }
            self.depth[slot] = depth;
            bits &= bits - 1;
        }
    }

    /// Keeps as active only what also holds the block after `depth` blocks; the others' depth is final.
    fn narrow(&mut self, depth: u32) -> bool {
        self.held.resize(self.active.len(), 0);
        let mut any = false;
        for word in 0..self.active.len() {
            let kept = self.active[word] & self.held[word];
            let dropped = self.active[word] & !kept;
            self.active[word] = kept;
            any |= kept != 0;
            if dropped != 0 {
                self.settle(dropped, word, depth);
            }
        }
        any
    }
}

impl Default for PrefixIndex {
    fn default() -> PrefixIndex {
        PrefixIndex {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            endpoints: RwLock::new(Vec::new()),
        }
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
        self.trim(slot, &mut recency);
    }

    /// Notes that a prompt with these blocks was sent to `slot`, and returns the slot's fill. A slot without
    /// capacity remembers nothing.
    pub fn record(&self, now: Time, slot: Slot, blocks: &[BlockHash]) -> HistoryFill {
        let endpoints = self.endpoints.read();
        let Some(recency) = endpoints.get(slot.index()) else { return HistoryFill::default() };
        let mut recency = recency.lock();
        // From the last block to the first, so that a leaf is forgotten before its root, as engines evict.
        for &hash in blocks.iter().rev() {
            if recency.touch(now, hash) {
                let mut shard = self.shard(hash).write();
                shard
                    .entry(hash)
                    .and_modify(|holders| holders.insert(slot.number()))
                    .or_insert_with(|| Holders::one(slot.number()));
            }
        }
        self.trim(slot, &mut recency);
        recency.fill()
    }

    /// Forgets everything about `slot`: it left, or its engine started anew.
    pub fn forget(&self, slot: Slot) {
        let endpoints = self.endpoints.read();
        let Some(recency) = endpoints.get(slot.index()) else { return };
        let mut recency = recency.lock();
        while let Some(hash) = recency.pop_oldest() {
            self.drop_holder(hash, slot);
        }
    }

    /// Finds for every endpoint how many leading blocks of the prompt it holds.
    pub fn lookup(&self, blocks: &[BlockHash], matches: &mut Matches) {
        matches.reset();
        let mut depth = 0;
        for &hash in blocks {
            matches.held.clear();
            match self.shard(hash).read().get(&hash) {
                Some(holders) => holders.write_to(&mut matches.held),
                None => break,
            }
            if depth == 0 {
                std::mem::swap(&mut matches.active, &mut matches.held);
            } else if !matches.narrow(depth) {
                return;
            }
            depth += 1;
        }
        for word in 0..matches.active.len() {
            matches.settle(matches.active[word], word, depth);
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

    fn trim(&self, slot: Slot, recency: &mut Recency) {
        while let Some(hash) = recency.pop_over_capacity() {
            self.drop_holder(hash, slot);
        }
    }

    fn drop_holder(&self, hash: BlockHash, slot: Slot) {
        let mut shard = self.shard(hash).write();
        if shard.get_mut(&hash).is_some_and(|holders| holders.remove(slot.number())) {
            shard.remove(&hash);
        }
    }

    fn shard(&self, hash: BlockHash) -> &Shard {
        // The low bits find the place inside a shard.
        &self.shards[(hash >> 60) as usize % SHARDS]
    }
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
