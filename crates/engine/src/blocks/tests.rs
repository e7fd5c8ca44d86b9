use proptest::prelude::*;

use super::*;
use crate::invariants;

/// What the pool should do, with plain lists.
#[derive(Default)]
struct Naive {
    refs: Vec<u32>,
    hash: Vec<Option<u64>>,
    free: Vec<u32>,
    /// Hashed blocks in the order of publication.
    published: Vec<u32>,
}

impl Naive {
    fn new(blocks: u32) -> Naive {
        Naive {
            refs: vec![0; blocks as usize],
            hash: vec![None; blocks as usize],
            free: (0..blocks).collect(),
            published: Vec::new(),
        }
    }

    fn find(&self, hash: u64) -> Option<u32> {
        self.published.iter().copied().find(|b| self.hash[*b as usize] == Some(hash))
    }

    fn take(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            return None;
        }
        let block = self.free.remove(0);
        self.hash[block as usize] = None;
        self.published.retain(|b| *b != block);
        self.refs[block as usize] = 1;
        Some(block)
    }

    fn share(&mut self, block: u32) {
        self.free.retain(|b| *b != block);
        self.refs[block as usize] += 1;
    }

    fn publish(&mut self, block: u32, hash: u64) {
        if self.hash[block as usize].is_none() {
            self.hash[block as usize] = Some(hash);
            self.published.push(block);
        }
    }

    fn release(&mut self, block: u32) {
        self.refs[block as usize] -= 1;
        if self.refs[block as usize] == 0 {
            let at = if self.hash[block as usize].is_some() { self.free.len() } else { 0 };
            self.free.insert(at, block);
        }
    }
}

#[derive(Clone, Debug)]
enum Call {
    Take,
    Share(u64),
    Publish(usize, u64),
    Release(usize),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => Just(Call::Take),
        2 => (1..6u64).prop_map(Call::Share),
        2 => (any::<usize>(), 1..6u64).prop_map(|(at, hash)| Call::Publish(at, hash)),
        3 => any::<usize>().prop_map(Call::Release),
    ]
}

proptest! {
    #[test]
    fn the_pool_does_what_the_naive_one_does(blocks in 1..9u32, calls in prop::collection::vec(call(), 0..200)) {
        let (mut pool, mut naive) = (BlockPool::new(blocks), Naive::new(blocks));
        let mut held: Vec<u32> = Vec::new();
        for call in calls {
            match call {
                Call::Take => {
                    let taken = pool.take();
                    prop_assert_eq!(taken, naive.take());
                    if let Some(block) = taken {
                        prop_assert!(!held.contains(&block), "block {} is in use", block);
                        held.push(block);
                    }
                }
                Call::Share(hash) => {
                    prop_assert_eq!(pool.find(hash), naive.find(hash));
                    if let Some(block) = pool.find(hash) {
                        pool.share(block);
                        naive.share(block);
                        held.push(block);
                    }
                }
                Call::Publish(at, hash) if !held.is_empty() => {
                    let block = held[at % held.len()];
                    pool.publish(block, hash);
                    naive.publish(block, hash);
                }
                Call::Release(at) if !held.is_empty() => {
                    let block = held.swap_remove(at % held.len());
                    pool.release(block);
                    naive.release(block);
                }
                _ => {}
            }
            prop_assert_eq!(invariants::pool_is_whole(&pool), Ok(()));
            prop_assert_eq!(pool.free_list().collect::<Vec<_>>(), naive.free.clone());
            let used = naive.refs.iter().filter(|refs| **refs > 0).count() as u32;
            prop_assert_eq!(pool.free() + used, pool.total());
            prop_assert!((0..blocks).all(|b| pool.refs(b) == naive.refs[b as usize]));
        }
    }
}

/// Takes `hashes.len()` blocks, publishes them under these hashes and gives them back leaves first.
fn run_through(pool: &mut BlockPool, hashes: &[u64]) {
    let blocks: Vec<u32> = hashes.iter().map(|_| pool.take().expect("free")).collect();
    for (block, hash) in blocks.iter().zip(hashes) {
        pool.publish(*block, *hash);
    }
    for block in blocks.iter().rev() {
        pool.release(*block);
    }
}

#[test]
fn leaf_blocks_are_evicted_before_roots_and_older_chains_before_newer() {
    let mut pool = BlockPool::new(6);
    run_through(&mut pool, &[1, 2, 3]);
    run_through(&mut pool, &[11, 12, 13]);
    let mut evicted = Vec::new();
    let all = [1, 2, 3, 11, 12, 13];
    for _ in 0..6 {
        let before: Vec<u64> = all.into_iter().filter(|h| pool.find(*h).is_some()).collect();
        pool.take();
        evicted.extend(before.into_iter().filter(|h| pool.find(*h).is_none()));
    }
    assert_eq!(evicted, [3, 2, 1, 13, 12, 11]);
}

#[test]
fn blocks_without_a_hash_are_taken_before_cached_ones() {
    let mut pool = BlockPool::new(3);
    run_through(&mut pool, &[1, 2]);
    let blank = pool.take().expect("free");
    pool.release(blank);
    assert_eq!(pool.take(), Some(blank));
    assert!(pool.find(1).is_some() && pool.find(2).is_some());
}

#[test]
fn a_shared_block_is_free_only_when_the_last_user_gives_it_back() {
    let mut pool = BlockPool::new(2);
    run_through(&mut pool, &[1]);
    let block = pool.find(1).expect("cached");
    assert_eq!(pool.usage(), 0.0, "cached blocks count as free");
    pool.share(block);
    pool.share(block);
    assert_eq!(pool.usage(), 0.5);
    pool.release(block);
    assert_eq!(pool.usage(), 0.5);
    pool.release(block);
    assert_eq!(pool.usage(), 0.0);
}

#[test]
fn a_second_copy_is_found_once_the_first_is_evicted() {
    let mut pool = BlockPool::new(3);
    let (a, b) = (pool.take().expect("free"), pool.take().expect("free"));
    pool.publish(a, 1);
    pool.publish(b, 1);
    pool.release(a);
    assert_eq!(pool.find(1), Some(a));
    pool.take();
    assert_eq!(pool.take(), Some(a));
    assert_eq!(pool.find(1), Some(b));
}
