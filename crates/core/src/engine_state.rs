//! What an engine says of itself, whatever its metric names are.

use std::sync::Arc;

/// One reading of an engine's load, from a metrics page or a load header. A field is `None` where the source
/// did not carry it; what was known before stays then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineState {
    /// Requests queued in the engine.
    pub waiting: Option<u32>,
    /// Requests in the running batch.
    pub running: Option<u32>,
    /// Share of the KV cache in use, 0 to 1. Cached blocks that nothing references count as free.
    pub kv_usage: Option<f32>,
    /// Tokens in one KV block.
    pub block_tokens: Option<u32>,
    /// KV blocks in all.
    pub kv_blocks: Option<u32>,
    /// LoRA adapters; `None` where the engine has none.
    pub adapters: Option<AdapterState>,
}

/// LoRA adapters of one engine at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterState {
    /// How many adapters fit on the accelerator at once.
    pub slots: u32,
    /// Adapters with requests in the running batch.
    pub running: Vec<Arc<str>>,
    /// Adapters with requests that wait.
    pub waiting: Vec<Arc<str>>,
}

/// One entry of an endpoint's `/v1/models`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    /// The name that requests use.
    pub id: Arc<str>,
    /// The base model when this is an adapter.
    pub parent: Option<Arc<str>>,
}
