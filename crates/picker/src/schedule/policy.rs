//! Policies: named profiles, as the command line offers them.

use super::filters::{AdapterTierFilter, WarmSetFilter};
use super::pickers::{LeastRequestPicker, MaxScorePicker, RandomPicker, RoundRobinPicker};
use super::profile::{Filter, Picker, Profile, Scorer};
use super::scorers::{KvCacheUtilizationScorer, LeastWaitScorer, PrefixCacheScorer, QueueScorer};
use crate::prefix::{HistoryCapacity, PrefixShape};

/// The policy that runs when none is named.
pub const DEFAULT_POLICY: &str = "least-wait";

/// Blocks of 128 tokens: a partial block at the end of a hit costs at most that, and the index stays small.
const OURS: PrefixShape = PrefixShape {
    block_bytes: 512,
    blocks_max: 2_048,
    capacity: HistoryCapacity::KvTokens { unknown: 3_400 },
};

/// `approx-prefix-cache-producer` with its defaults: blocks of 16 tokens are raised to 64, at most 131,072 tokens
/// are matched, and 31,250 blocks are kept for an endpoint that does not say how many it has.
const APPROX_PREFIX_CACHE_PRODUCER: PrefixShape = PrefixShape {
    block_bytes: 256,
    blocks_max: 2_048,
    capacity: HistoryCapacity::KvBlocks { unknown: 31_250 },
};

/// For policies that read no prefix: nothing is hashed.
const NO_PREFIX: PrefixShape =
    PrefixShape { block_bytes: 512, blocks_max: 0, capacity: HistoryCapacity::KvTokens { unknown: 1 } };

/// A named profile with the history that it needs.
pub struct Policy {
    /// Its name.
    pub name: &'static str,
    /// How prompts are cut and remembered.
    pub shape: PrefixShape,
    /// Its plugins.
    pub profile: Profile,
}

impl Policy {
    /// All names.
    pub const NAMES: [&'static str; 5] =
        ["least-wait", "upstream-default", "round-robin", "least-request", "random"];

    /// The policy called `name`.
    pub fn by_name(name: &str) -> Option<Policy> {
        match name {
            "least-wait" => Some(least_wait()),
            "upstream-default" => Some(upstream_default()),
            "round-robin" => Some(plain("round-robin", Box::new(RoundRobinPicker::default()))),
            "least-request" => Some(plain("least-request", Box::new(LeastRequestPicker))),
            "random" => Some(plain("random", Box::new(RandomPicker))),
            _ => None,
        }
    }

    /// How prompts are cut into blocks.
    pub fn prefix_shape(&self) -> PrefixShape {
        self.shape
    }
}

impl Default for Policy {
    fn default() -> Policy {
        least_wait()
    }
}

fn least_wait() -> Policy {
    let filters: Vec<Box<dyn Filter>> = vec![Box::new(AdapterTierFilter), Box::new(WarmSetFilter)];
    let scorers: Vec<(Box<dyn Scorer>, f32)> = vec![(Box::new(LeastWaitScorer), 1.0)];
    Policy {
        name: "least-wait",
        shape: OURS,
        profile: Profile::new(filters, scorers, Box::new(MaxScorePicker), true),
    }
}

fn upstream_default() -> Policy {
    let scorers: Vec<(Box<dyn Scorer>, f32)> = vec![
        (Box::new(QueueScorer), 2.0),
        (Box::new(KvCacheUtilizationScorer), 2.0),
        (Box::new(PrefixCacheScorer), 3.0),
    ];
    Policy {
        name: "upstream-default",
        shape: APPROX_PREFIX_CACHE_PRODUCER,
        profile: Profile::new(Vec::new(), scorers, Box::new(MaxScorePicker), false),
    }
}

fn plain(name: &'static str, picker: Box<dyn Picker>) -> Policy {
    Policy { name, shape: NO_PREFIX, profile: Profile::new(Vec::new(), Vec::new(), picker, false) }
}
