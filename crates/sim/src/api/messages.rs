//! `POST /v1/messages`: Anthropic's shape of a chat, in the plain form that vLLM gives it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use roadstead_engine::FinishReason;
use serde::Deserialize;

use super::chat::Message;
use super::error::{Kind, field_count, parse};
use super::fields::{Content, Prompts};
use super::generate::{Answers, Sampling, generate, text_of};
use super::{ApiError, Reply, events, json, quoted, request_id};
use crate::server::Sim;
use crate::stream::{ChoiceScript, EventStream, Script};
use crate::text::Conversation;

const FIELDS: &[(&str, Kind)] = &[("model", Kind::Text), ("max_tokens", Kind::Whole), ("stream", Kind::Flag)];

#[derive(Debug, Deserialize)]
struct MessagesRequest {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<i64>,
    system: Option<Content>,
    stream: Option<bool>,
    ignore_eos: Option<bool>,
}

/// Answers a messages request. Errors found after parsing are in Anthropic's shape.
pub(crate) async fn serve(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: MessagesRequest = parse(head, body, FIELDS)?;
    let fields = || field_count(body);
    let model = request.model.clone().ok_or_else(|| ApiError::missing("model", fields()))?;
    let messages = request.messages.as_deref().ok_or_else(|| ApiError::missing("messages", fields()))?;
    if request.max_tokens.is_none() {
        return Err(ApiError::missing("max_tokens", fields()));
    }
    match answer(sim, head, &model, messages, &request).await {
        Ok(reply) => Ok(reply),
        Err(error) => Ok(anthropic_error(&error)),
    }
}

async fn answer(
    sim: &Sim,
    head: &HeaderMap,
    model: &str,
    messages: &[Message],
    request: &MessagesRequest,
) -> Result<Reply, ApiError> {
    let target = sim.target(Some(model))?;
    let stream = request.stream.unwrap_or(false);
    let mut conversation = Conversation::new();
    if let Some(Content(system)) = &request.system {
        conversation.role("system");
        conversation.content(system);
    }
    for message in messages {
        conversation.role(&message.role);
        conversation.content(&message.content.0);
    }
    let sampling = Sampling {
        max_tokens: request.max_tokens,
        ignore_eos: request.ignore_eos.unwrap_or(false),
        stream,
        ..Sampling::default()
    };
    let answers = generate(sim, &target, &Prompts::text(conversation.into_prompt()), &sampling)?;
    let (id, model) = (quoted(&format!("chatcmpl-{}", request_id(head))), quoted(&target.name));
    if stream {
        let script = script(&answers, &id, &model);
        return Ok(events(EventStream::new(answers, script, sim.faults().reset_after_events)));
    }
    answers.finished().await?;
    let (input, output) = (answers.prompt_tokens, answers.completion_tokens());
    let answer = &answers.answers[0];
    let (text, stop) = (text_of(answer), stop_word(answer.finish));
    let body = format!(
        "{{\"id\":{id},\"type\":\"message\",\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}],\"model\":{model},\"stop_reason\":\"{stop}\",\"usage\":{{\"input_tokens\":{input},\"output_tokens\":{output}}}}}"
    );
    Ok(json(StatusCode::OK, body))
}

fn script(answers: &Answers, id: &str, model: &str) -> Script {
    let (input, output) = (answers.prompt_tokens, answers.completion_tokens());
    let stop = stop_word(answers.answers[0].finish);
    let opening = format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":{id},\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":{model},\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{{\"input_tokens\":{input},\"output_tokens\":0}}}}}}\n\nevent: content_block_start\ndata: {{\"type\":\"content_block_start\",\"content_block\":{{\"type\":\"text\",\"text\":\"\"}},\"index\":0}}\n\n"
    );
    let after = b"\"},\"index\":0}\n\n".to_vec();
    let choice = ChoiceScript {
        before: b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"".to_vec(),
        last: after.clone(),
        after,
        numbered: None,
    };
    let closing = format!(
        "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\nevent: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{stop}\",\"stop_sequence\":null}},\"usage\":{{\"input_tokens\":{input},\"output_tokens\":{output}}}}}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
    );
    Script {
        opening: opening.into_bytes(),
        choices: vec![choice],
        closing: Box::new(|_| closing.into_bytes()),
    }
}

fn anthropic_error(error: &ApiError) -> Reply {
    let (kind, message) = (quoted(error.kind), quoted(&error.message));
    let body = format!("{{\"type\":\"error\",\"error\":{{\"type\":{kind},\"message\":{message}}}}}");
    json(error.status, body)
}

fn stop_word(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
    }
}
