//! `POST /v1/chat/completions`.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::completions::{check_stream_options, last_event_end, stream_end, whole_usage};
use super::error::{Kind, field_count, parse};
use super::fields::{Content, Prompts};
use super::generate::{Answers, Sampling, StreamOptions, finish_word, generate, text_of};
use super::{ApiError, Reply, events, json, quoted, request_id};
use crate::server::Sim;
use crate::stream::{ChoiceScript, EventStream, Script};
use crate::text::Conversation;

const FIELDS: &[(&str, Kind)] = &[
    ("model", Kind::Text),
    ("max_tokens", Kind::Whole),
    ("max_completion_tokens", Kind::Whole),
    ("min_tokens", Kind::Whole),
    ("n", Kind::Whole),
    ("seed", Kind::Whole),
    ("ignore_eos", Kind::Flag),
    ("stream", Kind::Flag),
];

#[derive(Debug, Deserialize)]
struct ChatRequest {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    min_tokens: Option<i64>,
    n: Option<i64>,
    seed: Option<i64>,
    ignore_eos: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

/// One message of a conversation.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) content: Content,
}

/// Answers a chat request.
pub(crate) async fn serve(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: ChatRequest = parse(head, body, FIELDS)?;
    let messages = request.messages.ok_or_else(|| ApiError::missing("messages", field_count(body)))?;
    let stream = request.stream.unwrap_or(false);
    check_stream_options(stream, request.stream_options.is_some())?;
    let target = sim.target(request.model.as_deref())?;
    let prompt = prompt_of(&messages)?;
    let sampling = Sampling {
        max_tokens: request.max_completion_tokens.or(request.max_tokens),
        min_tokens: request.min_tokens,
        n: request.n,
        seed: request.seed,
        ignore_eos: request.ignore_eos.unwrap_or(false),
        stream,
        default_max_tokens: None,
    };
    let answers = generate(sim, &target, &Prompts::text(prompt), &sampling)?;
    let said =
        Said { id: format!("chatcmpl-{}", request_id(head)), created: sim.created(), model: target.name };
    if stream {
        let usage = request.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        let script = said.script(sim, &answers, usage);
        return Ok(events(EventStream::new(answers, script, sim.faults().reset_after_events)));
    }
    answers.finished().await?;
    Ok(json(StatusCode::OK, said.whole(sim, &answers)))
}

/// The conversation in the template, ready to be answered.
pub(crate) fn prompt_of(messages: &[Message]) -> Result<Vec<u8>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::bad_request(
            "Cannot apply chat template to an empty conversation. Provide at least one message.",
        ));
    }
    let mut conversation = Conversation::new();
    for message in messages {
        conversation.role(&message.role);
        conversation.content(&message.content.0);
    }
    Ok(conversation.into_prompt())
}

/// What every event and answer says about itself.
struct Said {
    id: String,
    created: u64,
    model: String,
}

impl Said {
    fn head(&self, object: &str) -> String {
        let (id, model) = (quoted(&self.id), quoted(&self.model));
        format!("\"id\":{id},\"object\":\"{object}\",\"created\":{},\"model\":{model}", self.created)
    }

    fn script(&self, sim: &Sim, answers: &Answers, usage: bool) -> Script {
        let head = self.head("chat.completion.chunk");
        let end = last_event_end(&sim.fingerprint, usage);
        let mut opening = String::new();
        let mut choices = Vec::with_capacity(answers.answers.len());
        for (index, answer) in answers.answers.iter().enumerate() {
            let finish = finish_word(answer.finish);
            // Writing into a String cannot fail.
            let _ = write!(
                opening,
                "data: {{{head},\"choices\":[{{\"index\":{index},\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\"finish_reason\":null}}],\"prompt_token_ids\":null,\"prompt_text\":null}}\n\n"
            );
            choices.push(ChoiceScript {
                before: format!("data: {{{head},\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"").into_bytes(),
                after: b"\"},\"logprobs\":null,\"finish_reason\":null,\"token_ids\":null}]}\n\n".to_vec(),
                last: format!("\"}},\"logprobs\":null,\"finish_reason\":\"{finish}\",\"stop_reason\":null,\"token_ids\":null}}]{end}").into_bytes(),
                numbered: None,
            });
        }
        let usage = usage.then(|| (answers.prompt_tokens, answers.completion_tokens()));
        let closing = stream_end(&head, &sim.fingerprint, usage);
        Script { opening: opening.into_bytes(), choices, closing: Box::new(|_| closing) }
    }

    fn whole(&self, sim: &Sim, answers: &Answers) -> String {
        let mut out = format!("{{{},\"choices\":[", self.head("chat.completion"));
        for (index, answer) in answers.answers.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let (text, finish) = (text_of(answer), finish_word(answer.finish));
            // Writing into a String cannot fail.
            let _ = write!(
                out,
                "{comma}{{\"index\":{index},\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\",\"refusal\":null,\"annotations\":null,\"audio\":null,\"function_call\":null,\"reasoning\":null}},\"logprobs\":null,\"finish_reason\":\"{finish}\",\"stop_reason\":null,\"token_ids\":null,\"routed_experts\":null}}"
            );
        }
        let usage = whole_usage(answers.prompt_tokens, answers.completion_tokens());
        let _ = write!(
            out,
            "],\"service_tier\":null,\"system_fingerprint\":{},\"usage\":{usage},\"prompt_logprobs\":null,\"prompt_token_ids\":null,\"prompt_text\":null,\"kv_transfer_params\":null,\"ec_transfer_params\":null,\"metrics\":null}}",
            sim.fingerprint
        );
        out
    }
}
