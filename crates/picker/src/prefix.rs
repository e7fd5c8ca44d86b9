//! Which endpoint has which prompt prefix in its cache, as far as routing history tells.
//!
//! The index stands beside the machine, not inside its lock: it is fed and read through `&self`. An entry says
//! "a prompt with this chain hash was sent there"; it is dropped when the endpoint's cache would have evicted it.

mod holders;
mod index;
mod matches;
mod recency;

use roadstead_core::Time;

pub use index::PrefixIndex;
pub use matches::Matches;

/// How a policy wants prompts cut into blocks and how much history it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixShape {
    /// Bytes of prompt text in one block.
    pub block_bytes: usize,
    /// Blocks of one prompt that are hashed; the rest of a longer prompt is ignored.
    pub blocks_max: usize,
    /// How many blocks are remembered for an endpoint.
    pub capacity: HistoryCapacity,
}

/// How many blocks of routing history an endpoint gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryCapacity {
    /// As many tokens as its KV cache holds; the default until that is known.
    KvTokens {
        /// Blocks while the size of the KV cache is unknown.
        unknown: usize,
    },
    /// One block for each of its KV blocks, whatever their sizes (upstream's `autoTune`).
    KvBlocks {
        /// Blocks while the number is unknown (upstream's `lruCapacityPerServer`).
        unknown: usize,
    },
}

/// How full the history of one endpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryFill {
    /// Blocks remembered.
    pub blocks: usize,
    /// Blocks that may be.
    pub capacity: usize,
    /// When the block that would be forgotten next was last used.
    pub oldest: Option<Time>,
}

/// Most blocks remembered for one endpoint, whatever it says of its cache.
pub const HISTORY_BLOCKS_MAX: usize = 1 << 18;

/// Bytes of text taken for one token where no tokenizer runs.
pub const BYTES_PER_TOKEN: usize = 4;

impl HistoryCapacity {
    /// Blocks to remember for an endpoint with `kv_blocks` KV blocks of `block_tokens` tokens.
    pub fn blocks(self, shape: &PrefixShape, kv: Option<(u32, u32)>) -> usize {
        let blocks = match (self, kv) {
            (HistoryCapacity::KvTokens { unknown } | HistoryCapacity::KvBlocks { unknown }, None) => unknown,
            (HistoryCapacity::KvTokens { .. }, Some((kv_blocks, block_tokens))) => {
                let tokens = (kv_blocks as usize).saturating_mul(block_tokens as usize);
                tokens.saturating_mul(BYTES_PER_TOKEN) / shape.block_bytes.max(1)
            }
            (HistoryCapacity::KvBlocks { .. }, Some((kv_blocks, _))) => kv_blocks as usize,
        };
        blocks.clamp(1, HISTORY_BLOCKS_MAX)
    }
}

#[cfg(test)]
mod tests;
