//! Adapters: which exist, which sit in the GPU slots and in host memory, and what bringing one in costs.
//!
//! Running jobs pin their adapter's GPU slot; the least recently used other one makes room. A load from host memory takes
//! 1.5 ms and the adapter's bytes at 2 GB/s, one from disk 50 ms and its bytes at 2 GB/s more; loads follow one another and
//! stall the step. Which job waits for a slot is the scheduler's matter.

use core::time::Duration;

use hashbrown::HashMap;

/// Names that one engine ever learns; beyond it new ones are refused.
const ADAPTERS_MAX: usize = 65_536;
const GPU_LOAD_MS: f64 = 1.5;
const GPU_BYTES_PER_MS: f64 = 2e6;
const DISK_LOAD_MS: f64 = 50.0;
const DISK_BYTES_PER_MS: f64 = 2e6;

/// Names an adapter in one engine; stays the same when the adapter is unloaded and loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdapterId(pub(crate) u32);

/// Why an adapter was not loaded or unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoraError {
    /// The engine runs without adapters.
    #[error("adapters are turned off")]
    Disabled,
    /// It is loaded already.
    #[error("the adapter has already been loaded")]
    AlreadyLoaded,
    /// It is not loaded.
    #[error("the adapter is not loaded")]
    NotLoaded,
    /// Its rank is 0 or above the configured bound.
    #[error("rank {rank} is not between 1 and {max}")]
    Rank {
        /// The adapter's rank.
        rank: u32,
        /// The bound.
        max: u32,
    },
    /// Too many names have been loaded.
    #[error("too many adapters have been loaded")]
    TooMany,
}

/// A loaded adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoraState<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its rank.
    pub rank: u32,
    /// Running jobs on it.
    pub running: u32,
    /// Waiting jobs on it.
    pub waiting: u32,
    /// Whether it sits in a GPU slot.
    pub on_gpu: bool,
    /// Whether it sits in host memory.
    pub on_host: bool,
}

#[derive(Clone, Debug)]
struct Adapter {
    name: Box<str>,
    rank: u32,
    loaded: bool,
    running: u32,
    waiting: u32,
}

/// The adapters of one engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loras {
    pub slots: u32,
    host_max: u32,
    rank_max: u32,
    bytes_per_rank: u64,
    adapters: Vec<Adapter>,
    by_name: HashMap<Box<str>, u32>,
    /// In GPU slots, least recently used first.
    gpu: Vec<u32>,
    /// In host memory, least recently used first.
    host: Vec<u32>,
    /// Distinct adapters among the running jobs.
    pub distinct_running: u32,
}

impl Loras {
    pub fn new(slots: u32, host_max: u32, rank_max: u32, bytes_per_rank: u64) -> Loras {
        Loras { slots, host_max: host_max.max(slots), rank_max, bytes_per_rank, ..Loras::default() }
    }

    pub fn find(&self, name: &str) -> Option<AdapterId> {
        self.by_name.get(name).filter(|id| self.adapters[**id as usize].loaded).map(|id| AdapterId(*id))
    }

    pub fn is_loaded(&self, id: AdapterId) -> bool {
        self.adapters.get(id.0 as usize).is_some_and(|a| a.loaded)
    }

    /// Learns an adapter without bringing it anywhere.
    pub fn register(&mut self, name: &str, rank: u32) -> Result<AdapterId, LoraError> {
        if self.slots == 0 {
            return Err(LoraError::Disabled);
        }
        if rank == 0 || rank > self.rank_max {
            return Err(LoraError::Rank { rank, max: self.rank_max });
        }
        if let Some(id) = self.by_name.get(name) {
            let adapter = &mut self.adapters[*id as usize];
            if adapter.loaded {
                return Err(LoraError::AlreadyLoaded);
            }
            (adapter.loaded, adapter.rank) = (true, rank);
            return Ok(AdapterId(*id));
        }
        if self.adapters.len() == ADAPTERS_MAX {
            return Err(LoraError::TooMany);
        }
        let id = self.adapters.len() as u32;
        self.adapters.push(Adapter { name: name.into(), rank, loaded: true, running: 0, waiting: 0 });
        self.by_name.insert(name.into(), id);
        Ok(AdapterId(id))
    }

    /// Forgets an adapter; jobs that are already here still run on it.
    pub fn unregister(&mut self, name: &str) -> Result<(), LoraError> {
        let AdapterId(id) = self.find(name).ok_or(LoraError::NotLoaded)?;
        self.adapters[id as usize].loaded = false;
        if self.adapters[id as usize].running == 0 {
            self.gpu.retain(|other| *other != id);
            self.host.retain(|other| *other != id);
        }
        Ok(())
    }

    /// Brings an adapter to a GPU slot, if one can be had, and says how long that takes.
    pub fn bring(&mut self, AdapterId(id): AdapterId) -> Duration {
        let bytes = self.bytes_per_rank as f64 * f64::from(self.adapters[id as usize].rank);
        let mut cost_ms = 0.0;
        if !use_now(&mut self.host, id) {
            cost_ms += DISK_LOAD_MS + bytes / DISK_BYTES_PER_MS;
            if self.host.len() as u32 >= self.host_max {
                let oldest = self.host.iter().position(|a| self.adapters[*a as usize].running == 0);
                self.host.remove(oldest.unwrap_or(0));
            }
            self.host.push(id);
        }
        if !use_now(&mut self.gpu, id) {
            if self.gpu.len() as u32 >= self.slots {
                match self.gpu.iter().position(|a| self.adapters[*a as usize].running == 0) {
                    Some(unused) => _ = self.gpu.remove(unused),
                    None => return Duration::from_nanos((cost_ms * 1e6) as u64),
                }
            }
            cost_ms += GPU_LOAD_MS + bytes / GPU_BYTES_PER_MS;
            self.gpu.push(id);
        }
        Duration::from_nanos((cost_ms * 1e6) as u64)
    }

    /// Whether a job on this adapter may join those that run.
    pub fn admits(&self, AdapterId(id): AdapterId) -> bool {
        self.adapters[id as usize].running > 0 || self.distinct_running < self.slots
    }

    pub fn job_waits(&mut self, AdapterId(id): AdapterId) {
        self.adapters[id as usize].waiting += 1;
    }

    pub fn job_leaves_queue(&mut self, AdapterId(id): AdapterId) {
        self.adapters[id as usize].waiting -= 1;
    }

    pub fn job_runs(&mut self, AdapterId(id): AdapterId) {
        let adapter = &mut self.adapters[id as usize];
        adapter.running += 1;
        self.distinct_running += u32::from(adapter.running == 1);
    }

    pub fn job_stops(&mut self, AdapterId(id): AdapterId) {
        let adapter = &mut self.adapters[id as usize];
        adapter.running -= 1;
        self.distinct_running -= u32::from(adapter.running == 0);
    }

    /// The loaded adapters, in the order in which their names were first loaded.
    pub fn states(&self) -> impl Iterator<Item = LoraState<'_>> {
        let numbered = self.adapters.iter().zip(0u32..);
        numbered.filter(|(a, _)| a.loaded || a.running + a.waiting > 0).map(|(a, id)| LoraState {
            name: &a.name,
            rank: a.rank,
            running: a.running,
            waiting: a.waiting,
            on_gpu: self.gpu.contains(&id),
            on_host: self.host.contains(&id),
        })
    }
}

/// Makes `id` the most recently used, if it is there.
fn use_now(cache: &mut [u32], id: u32) -> bool {
    match cache.iter().position(|other| *other == id) {
        Some(at) => {
            cache[at..].rotate_left(1);
            true
        }
        None => false,
    }
}
