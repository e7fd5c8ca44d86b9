//! The blocks of one endpoint in order of last use: what its cache would evict first.
//!
//! Nodes live in one vector and are linked by index; a hash table finds them. A block costs about 24 bytes.

use hashbrown::HashTable;
use roadstead_core::{BlockHash, Time};

use super::HistoryFill;

const END: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    hash: BlockHash,
    newer: u32,
    older: u32,
    touched: Time,
}

/// An LRU list of block hashes.
#[derive(Debug)]
pub(super) struct Recency {
    nodes: Vec<Node>,
    free: Vec<u32>,
    table: HashTable<u32>,
    newest: u32,
    oldest: u32,
    capacity: usize,
}

impl Recency {
    pub(super) fn new(capacity: usize) -> Recency {
        Recency {
            nodes: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            newest: END,
            oldest: END,
            capacity,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How full it is.
    pub(super) fn fill(&self) -> HistoryFill {
        let oldest = self.nodes.get(self.oldest as usize).map(|node| node.touched);
        HistoryFill { blocks: self.len(), capacity: self.capacity, oldest }
    }

    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Makes a prompt's blocks the most recently used, the first of them most of all, so that a leaf is forgotten
    /// before its root, as engines evict. Calls `added` for each block that is new here.
    pub(super) fn touch_prompt(&mut self, now: Time, blocks: &[BlockHash], mut added: impl FnMut(BlockHash)) {
        if self.capacity == 0 {
            return;
        }
        let mut near = END;
        for &hash in blocks.iter().rev() {
            near = match self.find(hash, near) {
                Some(at) => {
                    self.touch(now, at);
                    at
                }
                None => {
                    added(hash);
                    self.insert(now, hash)
                }
            };
        }
    }

    /// The node of `hash`. Blocks of one prompt mostly lie side by side, so the neighbours of `near` are tried first.
    fn find(&self, hash: BlockHash, near: u32) -> Option<u32> {
        let is =
            |at: u32| self.nodes.get(at as usize).is_some_and(|node| node.hash == hash && node.newer != at);
        let nodes = &self.nodes;
        if near != END {
            if is(near + 1) {
                return Some(near + 1);
            }
            if near > 0 && is(near - 1) {
                return Some(near - 1);
            }
        }
        self.table.find(hash, |&at| nodes[at as usize].hash == hash).copied()
    }

    fn touch(&mut self, now: Time, at: u32) {
        self.nodes[at as usize].touched = now;
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn insert(&mut self, now: Time, hash: BlockHash) -> u32 {
        let node = Node { hash, newer: END, older: END, touched: now };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        let nodes = &self.nodes;
        self.table.insert_unique(hash, at, |&at| nodes[at as usize].hash);
        self.link_newest(at);
        at
    }

    /// Takes out the least recently used block while there are too many.
    pub(super) fn pop_over_capacity(&mut self) -> Option<BlockHash> {
        if self.len() > self.capacity { self.pop_oldest() } else { None }
    }

    /// Takes out the least recently used block.
    pub(super) fn pop_oldest(&mut self) -> Option<BlockHash> {
        let at = self.oldest;
        if at == END {
            return None;
        }
        let hash = self.nodes[at as usize].hash;
        self.unlink(at);
        // A free node points at itself.
        self.nodes[at as usize].newer = at;
        if let Ok(entry) = self.table.find_entry(hash, |&found| found == at) {
            entry.remove();
        }
        self.free.push(at);
        Some(hash)
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, .. } = self.nodes[at as usize];
        match newer {
            END => self.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            END => self.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let second = self.newest;
        self.nodes[at as usize].newer = END;
        self.nodes[at as usize].older = second;
        match second {
            END => self.oldest = at,
            second => self.nodes[second as usize].newer = at,
        }
        self.newest = at;
    }
}
