//! `POST /tokenize` and `/detokenize`.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::chat::{Message, prompt_of};
use super::error::{Kind, field_count, parse};
use super::{ApiError, Reply, json};
use crate::server::Sim;
use crate::text;

const FIELDS: &[(&str, Kind)] = &[("model", Kind::Text), ("prompt", Kind::Text)];

#[derive(Debug, Deserialize)]
struct TokenizeRequest {
    model: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
}

#[derive(Debug, Deserialize)]
struct DetokenizeRequest {
    model: Option<String>,
    tokens: Option<Vec<u32>>,
}

/// The token ids of a prompt or a conversation.
pub(crate) fn tokenize(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: TokenizeRequest = parse(head, body, FIELDS)?;
    sim.target(request.model.as_deref())?;
    let bytes = match (request.prompt, &request.messages) {
        (Some(prompt), _) => prompt.into_bytes(),
        (None, Some(messages)) => prompt_of(messages)?,
        (None, None) => return Err(ApiError::missing("prompt", field_count(body))),
    };
    let tokens = text::tokenize(&bytes);
    let (count, max) = (tokens.len(), sim.max_model_len);
    let ids: Vec<String> = tokens.iter().map(u32::to_string).collect();
    let ids = ids.join(",");
    let body =
        format!("{{\"count\":{count},\"max_model_len\":{max},\"tokens\":[{ids}],\"token_strs\":null}}");
    Ok(json(StatusCode::OK, body))
}

/// The text of token ids.
pub(crate) fn detokenize(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: DetokenizeRequest = parse(head, body, FIELDS)?;
    sim.target(request.model.as_deref())?;
    let tokens = request.tokens.ok_or_else(|| ApiError::missing("tokens", field_count(body)))?;
    let prompt = String::from_utf8_lossy(&text::detokenize(&tokens)).into_owned();
    Ok(json(StatusCode::OK, serde_json::json!({ "prompt": prompt }).to_string()))
}
