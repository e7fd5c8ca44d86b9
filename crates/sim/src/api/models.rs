//! `GET /v1/models`: the base model and the loaded adapters.

use http::StatusCode;

use super::{Reply, json, quoted, random_id};
use crate::server::Sim;

/// Lists what requests may name.
pub(crate) fn serve(sim: &Sim) -> Reply {
    let created = sim.created();
    let mut cards = vec![card(&sim.model, &sim.model, None, Some(sim.max_model_len), created)];
    for adapter in sim.adapters.list() {
        cards.push(card(&adapter.name, &adapter.path, Some(&sim.model), None, created));
    }
    json(StatusCode::OK, format!("{{\"object\":\"list\",\"data\":[{}]}}", cards.join(",")))
}

fn card(id: &str, root: &str, parent: Option<&str>, max_model_len: Option<u32>, created: u64) -> String {
    let (id, root) = (quoted(id), quoted(root));
    let parent = parent.map_or_else(|| "null".to_owned(), quoted);
    let max_model_len = max_model_len.map_or_else(|| "null".to_owned(), |max| max.to_string());
    let permission = random_id();
    format!(
        "{{\"id\":{id},\"object\":\"model\",\"created\":{created},\"owned_by\":\"vllm\",\"root\":{root},\"parent\":{parent},\"max_model_len\":{max_model_len},\"permission\":[{{\"id\":\"modelperm-{permission}\",\"object\":\"model_permission\",\"created\":{created},\"allow_create_engine\":false,\"allow_sampling\":true,\"allow_logprobs\":true,\"allow_search_indices\":false,\"allow_view\":true,\"allow_fine_tuning\":false,\"organization\":\"*\",\"group\":null,\"is_blocking\":false}}]}}"
    )
}
