//! The KV block pool: one LRU list of free blocks, reference counts, and the index from block hash to block.
//!
//! A block is *used* while a job refers to it, else *free*. A freed block that carries a hash goes to the list's tail and
//! stays findable until it reaches the head and is taken for something else; one without goes to the head. It always
//! holds that free + used = all. Which job holds which block is not known here.

use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

/// No block; also the end of a list.
const NONE: u32 = u32::MAX;

/// The blocks of one engine.
#[derive(Clone, Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    /// The oldest block of each hash; the others follow it in the ring of its twins.
    index: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    head: u32,
    tail: u32,
    free: u32,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    /// Hash of the content, 0 while it has none.
    hash: u64,
    refs: u32,
    prev: u32,
    next: u32,
    /// The ring of blocks with the same hash, oldest first; a block alone points at itself.
    older: u32,
    newer: u32,
}

impl BlockPool {
    /// A pool of `blocks` free blocks (vLLM's null block is not among them).
    pub fn new(blocks: u32) -> BlockPool {
        let link = |i: u32| Block {
            hash: 0,
            refs: 0,
            prev: if i == 0 { NONE } else { i - 1 },
            next: if i + 1 == blocks { NONE } else { i + 1 },
            older: i,
            newer: i,
        };
        BlockPool {
            blocks: (0..blocks).map(link).collect(),
            index: HashMap::default(),
            head: if blocks == 0 { NONE } else { 0 },
            tail: blocks.wrapping_sub(1),
            free: blocks,
        }
    }

    /// All blocks.
    pub fn total(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Blocks that nobody refers to, cached ones included.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Share of blocks in use, 0 to 1.
    pub fn usage(&self) -> f64 {
        if self.blocks.is_empty() { 0.0 } else { 1.0 - f64::from(self.free) / f64::from(self.total()) }
    }

    /// How many jobs refer to this block.
    pub fn refs(&self, block: u32) -> u32 {
        self.blocks[block as usize].refs
    }

    /// The block's hash, once it is full.
    pub fn hash(&self, block: u32) -> Option<u64> {
        Some(self.blocks[block as usize].hash).filter(|hash| *hash != 0)
    }

    /// The block that holds this content, used or free; of several the one that was published first.
    pub fn find(&self, hash: u64) -> Option<u32> {
        self.index.get(&hash).copied()
    }

    /// Takes the free block that was least recently used; its cached content is lost.
    pub fn take(&mut self) -> Option<u32> {
        let block = self.head;
        if block == NONE {
            return None;
        }
        self.unlink(block);
        self.forget(block);
        self.blocks[block as usize].refs = 1;
        Some(block)
    }

    /// Refers to a block that was found by its hash.
    pub fn share(&mut self, block: u32) {
        if self.blocks[block as usize].refs == 0 {
            self.unlink(block);
        }
        self.blocks[block as usize].refs += 1;
    }

    /// Gives a used block the hash of its content, once it is full. A block keeps its first hash.
    pub fn publish(&mut self, block: u32, hash: u64) {
        debug_assert!(self.blocks[block as usize].refs > 0, "only used blocks are filled");
        if self.blocks[block as usize].hash != 0 {
            return;
        }
        self.blocks[block as usize].hash = hash;
        let oldest = *self.index.entry(hash).or_insert(block);
        if oldest != block {
            let newest = self.blocks[oldest as usize].older;
            self.join(newest, block);
            self.join(block, oldest);
        }
    }

    /// Gives back one reference. Release a job's blocks last one first, so that leaves are evicted before roots.
    pub fn release(&mut self, block: u32) {
        let entry = &mut self.blocks[block as usize];
        debug_assert!(entry.refs > 0, "block {block} released more often than taken");
        entry.refs -= 1;
        if entry.refs > 0 {
            return;
        }
        self.free += 1;
        if entry.hash == 0 {
            (entry.prev, entry.next) = (NONE, self.head);
            match self.head {
                NONE => self.tail = block,
                head => self.blocks[head as usize].prev = block,
            }
            self.head = block;
        } else {
            (entry.prev, entry.next) = (self.tail, NONE);
            match self.tail {
                NONE => self.head = block,
                tail => self.blocks[tail as usize].next = block,
            }
            self.tail = block;
        }
    }

    /// The free blocks, next to be taken first.
    pub fn free_list(&self) -> impl Iterator<Item = u32> + '_ {
        let some = |block: u32| (block != NONE).then_some(block);
        core::iter::successors(some(self.head), move |b| some(self.blocks[*b as usize].next))
    }

    fn unlink(&mut self, block: u32) {
        let Block { prev, next, .. } = self.blocks[block as usize];
        match prev {
            NONE => self.head = next,
            prev => self.blocks[prev as usize].next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => self.blocks[next as usize].prev = prev,
        }
        self.free -= 1;
    }

    /// Takes the block's hash away and out of the index.
    fn forget(&mut self, block: u32) {
        let Block { hash, older, newer, .. } = self.blocks[block as usize];
        if hash == 0 {
            return;
        }
        if newer == block {
            self.index.remove(&hash);
        } else {
            let oldest = self.index.get_mut(&hash).expect("a hashed block is indexed");
            if *oldest == block {
                *oldest = newer;
            }
            self.join(older, newer);
        }
        let entry = &mut self.blocks[block as usize];
        (entry.hash, entry.older, entry.newer) = (0, block, block);
    }

    fn join(&mut self, older: u32, newer: u32) {
        self.blocks[older as usize].newer = newer;
        self.blocks[newer as usize].older = older;
    }
}

/// Block hashes are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests;
