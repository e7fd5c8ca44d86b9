//! `POST /v1/responses` for text in and text out. Nothing is stored: `previous_response_id` is not found.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use roadstead_engine::FinishReason;
use serde::Deserialize;

use super::chat::Message;
use super::error::{Kind, field_count, parse};
use super::fields::Prompts;
use super::generate::{Answers, Sampling, generate, text_of};
use super::{ApiError, Reply, events, json, quoted, random_id, request_id};
use crate::driver::Answer;
use crate::server::Sim;
use crate::stream::{ChoiceScript, EventStream, Script};
use crate::text::Conversation;

const FIELDS: &[(&str, Kind)] =
    &[("model", Kind::Text), ("max_output_tokens", Kind::Whole), ("stream", Kind::Flag)];
/// Number of the first event that carries text.
const FIRST_DELTA: u32 = 4;

#[derive(Debug, Deserialize)]
struct ResponsesRequest {
    model: Option<String>,
    input: Option<Input>,
    instructions: Option<String>,
    max_output_tokens: Option<i64>,
    previous_response_id: Option<String>,
    stream: Option<bool>,
    ignore_eos: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Messages(Vec<Message>),
}

/// Answers a responses request.
pub(crate) async fn serve(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: ResponsesRequest = parse(head, body, FIELDS)?;
    let input = request.input.as_ref().ok_or_else(|| ApiError::missing("input", field_count(body)))?;
    let target = sim.target(request.model.as_deref())?;
    if let Some(id) = &request.previous_response_id {
        let message = format!("Response with id '{id}' not found.");
        return Err(ApiError::not_found(message, Some("response_id")));
    }
    let stream = request.stream.unwrap_or(false);
    let sampling = Sampling {
        max_tokens: request.max_output_tokens,
        ignore_eos: request.ignore_eos.unwrap_or(false),
        stream,
        ..Sampling::default()
    };
    let answers = generate(sim, &target, &Prompts::text(prompt_of(&request, input)), &sampling)?;
    let said = Said {
        id: quoted(&format!("resp_{}", request_id(head))),
        message: quoted(&format!("msg_{}", random_id())),
        created: sim.created(),
        model: quoted(&target.name),
        instructions: request.instructions.as_deref().map_or_else(|| "null".to_owned(), quoted),
        max_output_tokens: answers.answers[0].output_tokens,
        asked: request.max_output_tokens,
        prompt_tokens: answers.prompt_tokens,
    };
    if stream {
        let script = said.script();
        return Ok(events(EventStream::new(answers, script, sim.faults().reset_after_events)));
    }
    answers.finished().await?;
    let Answers { answers, .. } = &answers;
    Ok(json(StatusCode::OK, said.finished(&answers[0])))
}

fn prompt_of(request: &ResponsesRequest, input: &Input) -> Vec<u8> {
    let mut conversation = Conversation::new();
    if let Some(instructions) = &request.instructions {
        conversation.role("system");
        conversation.content(instructions);
    }
    match input {
        Input::Text(text) => {
            conversation.role("user");
            conversation.content(text);
        }
        Input::Messages(messages) => {
            for message in messages {
                conversation.role(&message.role);
                conversation.content(&message.content.0);
            }
        }
    }
    conversation.into_prompt()
}

/// What a response says about itself; strings are quoted already.
struct Said {
    id: String,
    message: String,
    created: u64,
    model: String,
    instructions: String,
    max_output_tokens: u32,
    asked: Option<i64>,
    prompt_tokens: u32,
}

impl Said {
    /// The response object; `incomplete`, `output` and `usage` as JSON.
    fn response(&self, status: &str, incomplete: &str, output: &str, usage: &str) -> String {
        let Said { id, created, model, instructions, .. } = self;
        let max = self.asked.unwrap_or(i64::from(self.max_output_tokens));
        format!(
            "{{\"id\":{id},\"created_at\":{created},\"incomplete_details\":{incomplete},\"instructions\":{instructions},\"metadata\":null,\"model\":{model},\"object\":\"response\",\"output\":[{output}],\"parallel_tool_calls\":true,\"temperature\":1.0,\"tool_choice\":\"none\",\"tools\":[],\"top_p\":1.0,\"background\":false,\"max_output_tokens\":{max},\"max_tool_calls\":null,\"previous_response_id\":null,\"prompt\":null,\"reasoning\":null,\"service_tier\":\"auto\",\"status\":\"{status}\",\"text\":null,\"top_logprobs\":null,\"truncation\":\"disabled\",\"usage\":{usage},\"user\":null,\"presence_penalty\":0.0,\"frequency_penalty\":0.0,\"kv_transfer_params\":null,\"ec_transfer_params\":null,\"input_messages\":null,\"output_messages\":null}}"
        )
    }

    fn item(&self, part: &str, status: &str) -> String {
        let message = &self.message;
        format!(
            "{{\"id\":{message},\"content\":[{part}],\"role\":\"assistant\",\"status\":\"{status}\",\"type\":\"message\",\"phase\":null}}"
        )
    }

    /// The response with its answer.
    fn finished(&self, answer: &Answer) -> String {
        let (input, output) = (self.prompt_tokens, answer.output_tokens);
        let total = input + output;
        let usage = format!(
            "{{\"input_tokens\":{input},\"input_tokens_details\":{{\"cached_tokens\":0,\"cache_write_tokens\":0,\"input_tokens_per_turn\":[],\"cached_tokens_per_turn\":[]}},\"output_tokens\":{output},\"output_tokens_details\":{{\"reasoning_tokens\":0,\"tool_output_tokens\":0,\"output_tokens_per_turn\":[],\"tool_output_tokens_per_turn\":[]}},\"total_tokens\":{total}}}"
        );
        let item = self.item(&part(&text_of(answer)), "completed");
        match answer.finish {
            FinishReason::Stop => self.response("completed", "null", &item, &usage),
            FinishReason::Length => {
                self.response("incomplete", "{\"reason\":\"max_output_tokens\"}", &item, &usage)
            }
        }
    }

    fn script(self) -> Script {
        let message = &self.message;
        let started = self.response("in_progress", "null", "", "null");
        let item = self.item("", "in_progress");
        let opening = [
            event("response.created", &format!("\"response\":{started}"), 0),
            event("response.in_progress", &format!("\"response\":{started}"), 1),
            event("response.output_item.added", &format!("\"item\":{item},\"output_index\":0"), 2),
            format!(
                "event: response.content_part.added\ndata: {{\"content_index\":0,\"item_id\":{message},\"output_index\":0,\"part\":{{\"annotations\":[],\"text\":\"\",\"type\":\"output_text\",\"logprobs\":[]}},\"sequence_number\":3,\"type\":\"response.content_part.added\"}}\n\n"
            ),
        ]
        .concat();
        let after =
            format!("\",\"item_id\":{message},\"logprobs\":[],\"output_index\":0,\"sequence_number\":")
                .into_bytes();
        let choice = ChoiceScript {
            before: b"event: response.output_text.delta\ndata: {\"content_index\":0,\"delta\":\"".to_vec(),
            last: after.clone(),
            after,
            numbered: Some((FIRST_DELTA, b",\"type\":\"response.output_text.delta\"}\n\n")),
        };
        let closing = move |answers: &[Answer]| self.closing(&answers[0]).into_bytes();
        Script { opening: opening.into_bytes(), choices: vec![choice], closing: Box::new(closing) }
    }

    fn closing(&self, answer: &Answer) -> String {
        let (message, text) = (&self.message, text_of(answer));
        let at = FIRST_DELTA + answer.output_tokens;
        let part = part(&text);
        let item = self.item(&part, "completed");
        let response = self.finished(answer);
        [
            format!(
                "event: response.output_text.done\ndata: {{\"content_index\":0,\"item_id\":{message},\"logprobs\":[],\"output_index\":0,\"sequence_number\":{at},\"text\":\"{text}\",\"type\":\"response.output_text.done\"}}\n\n"
            ),
            format!(
                "event: response.content_part.done\ndata: {{\"content_index\":0,\"item_id\":{message},\"output_index\":0,\"part\":{part},\"sequence_number\":{},\"type\":\"response.content_part.done\"}}\n\n",
                at + 1
            ),
            event("response.output_item.done", &format!("\"item\":{item},\"output_index\":0"), at + 2),
            event("response.completed", &format!("\"response\":{response}"), at + 3),
        ]
        .concat()
    }
}

fn part(text: &str) -> String {
    format!("{{\"annotations\":[],\"text\":\"{text}\",\"type\":\"output_text\",\"logprobs\":null}}")
}

fn event(kind: &str, fields: &str, number: u32) -> String {
    format!("event: {kind}\ndata: {{{fields},\"sequence_number\":{number},\"type\":\"{kind}\"}}\n\n")
}
