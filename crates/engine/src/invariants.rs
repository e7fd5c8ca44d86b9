//! What always holds for an engine, as predicates: cheap ones after every step in debug builds, all of them in tests.

use crate::engine::Engine;

/// The step just scheduled keeps its bounds. Cheap.
pub(crate) fn step_within_bounds(engine: &Engine) -> Result<(), String> {
    let tokens = engine.decodes + engine.chunk_tokens;
    let config = &engine.config;
    ensure(tokens > 0, || "an empty step".into())?;
    ensure(tokens <= config.max_batched_tokens, || format!("{tokens} tokens in a step"))?;
    ensure(engine.running.len <= config.max_num_seqs, || format!("{} sequences run", engine.running.len))?;
    ensure(engine.decodes + engine.prefills.len() as u32 == engine.running.len, || {
        format!("{} decode and {} prefill, {} run", engine.decodes, engine.prefills.len(), engine.running.len)
    })?;
    ensure(engine.loras.distinct_running <= config.max_loras, || {
        format!("{} adapters run", engine.loras.distinct_running)
    })
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
