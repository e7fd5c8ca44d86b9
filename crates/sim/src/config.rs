//! What a simulated server is started with.

use roadstead_engine::EngineConfig;

use crate::faults::Faults;

/// Adapters that may run at once where adapters are named but the engine's configuration has none.
const DEFAULT_MAX_LORAS: u32 = 4;
/// Mean of the drawn answer lengths, in tokens: about that of shared chat conversations.
const DEFAULT_MEAN_OUTPUT_TOKENS: u32 = 200;

/// Configuration of one server. [`crate::start_many`] gives each server its own seed from `seed`.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// The base model's name.
    pub model: String,
    /// The engine. `max_loras` 0 turns adapters off, the endpoints that load them included. The time that a real
    /// API server takes for each request before its engine sees it is `api_overhead`, none by default.
    pub engine: EngineConfig,
    /// Wall seconds per engine second: 10 is ten times slower than real, 0.1 ten times faster.
    pub time_scale: f64,
    /// Seed of answer lengths and texts.
    pub seed: u64,
    /// Adapters loaded from the start, each of rank 8.
    pub loras: Vec<String>,
    /// Mean answer length in tokens of requests that do not ignore the end of sequence.
    pub mean_output_tokens: u32,
    /// What is broken from the start.
    pub faults: Faults,
}

impl SimConfig {
    /// A server of `model` on `engine`, in real time, without adapters or faults.
    pub fn new(model: impl Into<String>, engine: EngineConfig) -> SimConfig {
        SimConfig {
            model: model.into(),
            engine,
            time_scale: 1.0,
            seed: 0,
            loras: Vec::new(),
            mean_output_tokens: DEFAULT_MEAN_OUTPUT_TOKENS,
            faults: Faults::default(),
        }
    }

    /// The engine's configuration with the adapters that are loaded from the start.
    pub(crate) fn engine_config(&self) -> EngineConfig {
        let mut engine = self.engine.clone();
        engine.seed ^= self.seed;
        if !self.loras.is_empty() && engine.max_loras == 0 {
            engine.max_loras = DEFAULT_MAX_LORAS;
        }
        engine.max_cpu_loras = engine.max_cpu_loras.max(engine.max_loras);
        for name in &self.loras {
            engine.loras.push((name.clone(), crate::api::lora::DEFAULT_RANK));
        }
        engine
    }
}
