//! `POST /v1/load_lora_adapter` and `/v1/unload_lora_adapter`.
//!
//! No adapter file is read: any path will do, except that one under `/nonexistent` is not found. Loading takes
//! the time that the engine says.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::RwLock;
use roadstead_engine::LoraError;
use serde::Deserialize;

use super::error::{Kind, field_count, parse};
use super::{ApiError, Reply, plain};
use crate::server::Sim;

/// Rank of adapters whose files would say it.
pub(crate) const DEFAULT_RANK: u32 = 8;
/// Paths under here hold no adapter.
const MISSING_PATH: &str = "/nonexistent";
const FIELDS: &[(&str, Kind)] = &[("lora_name", Kind::Text), ("lora_path", Kind::Text)];

/// A loaded adapter.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    pub(crate) name: String,
    pub(crate) path: String,
}

/// The loaded adapters in order of loading. The engine bounds their number.
#[derive(Debug, Default)]
pub(crate) struct Adapters {
    loaded: RwLock<Vec<Adapter>>,
}

impl Adapters {
    /// Adapters loaded from the start.
    pub(crate) fn new(names: &[String]) -> Adapters {
        let loaded = names.iter().map(|name| Adapter { name: name.clone(), path: name.clone() }).collect();
        Adapters { loaded: RwLock::new(loaded) }
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Adapter> {
        self.loaded.read().clone()
    }
}

#[derive(Debug, Deserialize)]
struct LoraRequest {
    lora_name: Option<String>,
    lora_path: Option<String>,
    #[serde(default)]
    load_inplace: bool,
}

/// Loads an adapter.
pub(crate) fn load(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: LoraRequest = parse(head, body, FIELDS)?;
    let name = request.lora_name.ok_or_else(|| ApiError::missing("lora_name", field_count(body)))?;
    let path = request.lora_path.ok_or_else(|| ApiError::missing("lora_path", field_count(body)))?;
    if name.is_empty() || path.is_empty() {
        return Err(wrong("Both 'lora_name' and 'lora_path' must be provided.".to_owned()));
    }
    if path.starts_with(MISSING_PATH) {
        let message = format!("Loading lora {name} failed: No adapter found for {path}");
        return Err(ApiError::not_found(message, None));
    }
    let mut loaded = sim.adapters.loaded.write();
    match sim.driver.load_lora(&name, DEFAULT_RANK) {
        Ok(()) => loaded.push(Adapter { name: name.clone(), path }),
        Err(LoraError::AlreadyLoaded) if request.load_inplace => {}
        Err(LoraError::AlreadyLoaded) => {
            return Err(wrong(format!(
                "The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True."
            )));
        }
        Err(error) => return Err(wrong(format!("Loading lora {name} failed: {error}"))),
    }
    Ok(said(format!("Success: LoRA adapter '{name}' added successfully.")))
}

/// Unloads an adapter; its requests in flight finish.
pub(crate) fn unload(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: LoraRequest = parse(head, body, FIELDS)?;
    let name = request.lora_name.filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| wrong("'lora_name' needs to be provided to unload a LoRA adapter.".to_owned()))?;
    let mut loaded = sim.adapters.loaded.write();
    if sim.driver.unload_lora(&name).is_err() {
        return Err(ApiError::not_found(format!("The lora adapter '{name}' cannot be found."), None));
    }
    loaded.retain(|adapter| adapter.name != name);
    Ok(said(format!("Success: LoRA adapter '{name}' removed successfully.")))
}

fn wrong(message: String) -> ApiError {
    ApiError { status: StatusCode::BAD_REQUEST, kind: "InvalidUserInput", message, param: None }
}

fn said(message: String) -> Reply {
    plain(StatusCode::OK, message)
}
