//! `POST /v1/completions`.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::error::{Kind, parse};
use super::fields::Prompts;
use super::generate::{Answers, Sampling, StreamOptions, finish_word, generate, text_of};
use super::{ApiError, Reply, events, json, quoted, request_id};
use crate::server::Sim;
use crate::stream::{ChoiceScript, EventStream, Script};

/// Limit of a request that names none, as in OpenAI's API.
const DEFAULT_MAX_TOKENS: u32 = 16;
const FIELDS: &[(&str, Kind)] = &[
    ("model", Kind::Text),
    ("max_tokens", Kind::Whole),
    ("min_tokens", Kind::Whole),
    ("n", Kind::Whole),
    ("seed", Kind::Whole),
    ("ignore_eos", Kind::Flag),
    ("stream", Kind::Flag),
];

#[derive(Debug, Deserialize)]
struct CompletionRequest {
    model: Option<String>,
    prompt: Option<Prompts>,
    max_tokens: Option<i64>,
    min_tokens: Option<i64>,
    n: Option<i64>,
    seed: Option<i64>,
    ignore_eos: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

/// Answers a completion request.
pub(crate) async fn serve(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: CompletionRequest = parse(head, body, FIELDS)?;
    let stream = request.stream.unwrap_or(false);
    check_stream_options(stream, request.stream_options.is_some())?;
    let target = sim.target(request.model.as_deref())?;
    let prompts = request.prompt.ok_or_else(no_prompt)?;
    if prompts.list.is_empty() {
        return Err(ApiError::bad_request("You must pass at least one prompt"));
    }
    if prompts.list.iter().any(Vec::is_empty) {
        return Err(no_prompt());
    }
    let sampling = Sampling {
        max_tokens: request.max_tokens,
        min_tokens: request.min_tokens,
        n: request.n,
        seed: request.seed,
        ignore_eos: request.ignore_eos.unwrap_or(false),
        stream,
        default_max_tokens: Some(DEFAULT_MAX_TOKENS),
    };
    let answers = generate(sim, &target, &prompts, &sampling)?;
    let said = Said { id: format!("cmpl-{}", request_id(head)), created: sim.created(), model: target.name };
    if stream {
        let usage = request.stream_options.and_then(|options| options.include_usage).unwrap_or(false);
        let script = said.script(sim, &answers, usage);
        return Ok(events(EventStream::new(answers, script, sim.faults().reset_after_events)));
    }
    answers.finished().await?;
    Ok(json(StatusCode::OK, said.whole(sim, &answers)))
}

/// `stream_options` without `stream` is an error.
pub(crate) fn check_stream_options(stream: bool, given: bool) -> Result<(), ApiError> {
    if stream || !given {
        return Ok(());
    }
    let mut error = ApiError::bad_request(
        "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
    );
    error.param = Some("stream_options".to_owned());
    Err(error)
}

/// The end of a stream: usage where it was asked for, then the end mark.
pub(crate) fn stream_end(said: &str, fingerprint: &str, usage: Option<(u32, u32)>) -> Vec<u8> {
    let mut out = String::new();
    if let Some((prompt, completion)) = usage {
        let total = prompt + completion;
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            "data: {{{said},\"choices\":[],\"usage\":{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{completion}}},\"system_fingerprint\":{fingerprint}}}\n\n"
        );
    }
    out.push_str("data: [DONE]\n\n");
    out.into_bytes()
}

/// The part of an event after its last choice: the last event before `usage` carries no fingerprint of its own.
pub(crate) fn last_event_end(fingerprint: &str, usage: bool) -> String {
    if usage { "}\n\n".to_owned() } else { format!(",\"system_fingerprint\":{fingerprint}}}\n\n") }
}

/// `usage` of a whole answer.
pub(crate) fn whole_usage(prompt: u32, completion: u32) -> String {
    let total = prompt + completion;
    format!(
        "{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{completion},\"prompt_tokens_details\":null,\"completion_tokens_details\":null}}"
    )
}

fn no_prompt() -> ApiError {
    let mut error = ApiError::bad_request(
        "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)",
    );
    error.param = Some("prompt".to_owned());
    error
}

/// What every event and answer says about itself.
struct Said {
    id: String,
    created: u64,
    model: String,
}

impl Said {
    fn head(&self) -> String {
        let (id, model) = (quoted(&self.id), quoted(&self.model));
        format!("\"id\":{id},\"object\":\"text_completion\",\"created\":{},\"model\":{model}", self.created)
    }

    fn script(&self, sim: &Sim, answers: &Answers, usage: bool) -> Script {
        let head = self.head();
        let end = last_event_end(&sim.fingerprint, usage);
        let choice = |index: usize, finish: &str| {
            ChoiceScript {
            before: format!("data: {{{head},\"choices\":[{{\"index\":{index},\"text\":\"").into_bytes(),
            after: b"\",\"logprobs\":null,\"finish_reason\":null,\"stop_reason\":null,\"prompt_token_ids\":null,\"token_ids\":null}]}\n\n".to_vec(),
            last: format!("\",\"logprobs\":null,\"finish_reason\":\"{finish}\",\"stop_reason\":null,\"prompt_token_ids\":null,\"token_ids\":null}}]{end}").into_bytes(),
            numbered: None,
        }
        };
        let choices = answers.answers.iter().enumerate();
        let choices = choices.map(|(index, answer)| choice(index, finish_word(answer.finish))).collect();
        let usage = usage.then(|| (answers.prompt_tokens, answers.completion_tokens()));
        let closing = stream_end(&head, &sim.fingerprint, usage);
        Script { opening: Vec::new(), choices, closing: Box::new(|_| closing) }
    }

    fn whole(&self, sim: &Sim, answers: &Answers) -> String {
        let mut out = format!("{{{},\"choices\":[", self.head());
        for (index, answer) in answers.answers.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let (text, finish) = (text_of(answer), finish_word(answer.finish));
            // Writing into a String cannot fail.
            let _ = write!(
                out,
                "{comma}{{\"index\":{index},\"text\":\"{text}\",\"logprobs\":null,\"finish_reason\":\"{finish}\",\"stop_reason\":null,\"token_ids\":null,\"prompt_logprobs\":null,\"prompt_token_ids\":null,\"routed_experts\":null}}"
            );
        }
        let usage = whole_usage(answers.prompt_tokens, answers.completion_tokens());
        let _ = write!(
            out,
            "],\"service_tier\":null,\"system_fingerprint\":{},\"usage\":{usage},\"kv_transfer_params\":null,\"ec_transfer_params\":null,\"metrics\":null}}",
            sim.fingerprint
        );
        out
    }
}
