//! How engines name what we want to know: one row an engine, and the reader of their metrics pages.
//!
//! Another engine is another row under `engines/`. Reading is pure: a page in, a state out; a field is `None`
//! where the page does not tell. It must not know how pages are fetched or what is concluded from them.

mod read;
mod vllm;

pub use read::PageReader;
pub use vllm::VLLM;

/// All engines that we can read, the default first.
pub const ENGINES: &[Engine] = &[VLLM];

/// The metric names of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Its name, as upstream's `llm-d.ai/engine-type` label has it.
    pub name: &'static str,
    /// Gauge of queued requests; summed over its series (ranks).
    pub waiting: &'static str,
    /// Gauge of running requests; summed over its series.
    pub running: &'static str,
    /// Gauges of the share of KV cache in use, newest name first: the first that the page has counts, as the
    /// mean over its series.
    pub kv_usage: &'static [&'static str],
    /// Where the size of the KV cache stands, if anywhere.
    pub cache_info: Option<CacheInfo>,
    /// Where LoRA adapters stand, if anywhere.
    pub lora_info: Option<LoraInfo>,
}

/// A series whose labels tell the KV cache's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheInfo {
    /// Its name.
    pub series: &'static str,
    /// Label with the tokens in one block.
    pub block_tokens: &'static str,
    /// Label with the number of blocks; summed over the series.
    pub blocks: &'static str,
}

/// Series whose labels list adapters and whose value is the time of that list: the newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoraInfo {
    /// Their name.
    pub series: &'static str,
    /// Label with the number of adapters that fit at once.
    pub slots: &'static str,
    /// Label with the running adapters, separated by commas.
    pub running: &'static str,
    /// Label with the waiting adapters, separated by commas.
    pub waiting: &'static str,
}

impl Engine {
    /// The row of the engine called `name`.
    pub fn by_name(name: &str) -> Option<Engine> {
        ENGINES.iter().find(|engine| engine.name == name).copied()
    }
}

impl Default for Engine {
    fn default() -> Engine {
        VLLM
    }
}
