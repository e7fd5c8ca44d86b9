//! One pass over a request body: validates it and notes where the members lie that matter to us.
//!
//! Called once per request, before anything is decided. Of members that occur twice the last counts, as in the
//! engines (Python). A member of a type that we do not expect is passed over, because the engine gives the
//! better answer; only `model` must be a string, for without it nothing can be placed.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, BodyError, BodyErrorKind, Cursor};
use crate::openai::Api;
use crate::openai::prompt::{PROMPT_MEMBERS_MAX, PromptView};

/// What placing a request needs to know of its body. Borrows the body.
#[derive(Clone, Debug)]
pub struct RequestView<'a> {
    /// The model or adapter asked for; `None` where it is missing or null.
    pub model: Option<Cow<'a, str>>,
    /// Where the model's string literal lies in the body, quotes included.
    pub model_span: Option<Range<usize>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether a stream is to end with the usage (`stream_options.include_usage`).
    pub include_usage: bool,
    /// The most output tokens for one sequence: the smallest of `max_tokens`, `max_completion_tokens` and
    /// `max_output_tokens` that are there.
    pub output_tokens_max: Option<u32>,
    /// Sequences to generate: prompts in the body × the greater of `n` and `best_of`; 0 where the API
    /// generates none.
    pub sequences: u32,
    /// The prompt's raw bytes.
    pub prompt: PromptView<'a>,
    /// vLLM's `cache_salt`: requests share cached blocks only where it is equal.
    pub cache_salt: Option<Cow<'a, str>>,
}

/// Where the values lie that are looked at after the pass.
#[derive(Default)]
struct Members {
    model: Option<Range<usize>>,
    stream: Option<Range<usize>>,
    stream_options: Option<Range<usize>>,
    token_limits: [Option<Range<usize>>; 3],
    sequences: [Option<Range<usize>>; 2],
    cache_salt: Option<Range<usize>>,
    prompt: [Option<Range<usize>>; PROMPT_MEMBERS_MAX],
}

/// Scans `body`, a request of kind `api`. Errors say what is wrong and at which byte.
pub fn scan_request(api: Api, body: &[u8]) -> Result<RequestView<'_>, BodyError> {
    if let Err(error) = std::str::from_utf8(body) {
        return Err(BodyError { kind: BodyErrorKind::InvalidUtf8, offset: error.valid_up_to() });
    }
    let members = find_members(api, body)?;
    members.view(api, body)
}

fn find_members(api: Api, body: &[u8]) -> Result<Members, BodyError> {
    let mut cursor = Cursor::new(body);
    match cursor.peek() {
        None => return Err(cursor.error(BodyErrorKind::Empty)),
        Some(b'{') => {}
        Some(_) => {
            let start = cursor.at();
            cursor.skip_value()?;
            cursor.end()?;
            return Err(BodyError { kind: BodyErrorKind::NotAnObject, offset: start });
        }
    }
    let mut members = Members::default();
    let prompt = api.prompt_members();
    cursor.members(|key, value| {
        if let Some(place) = members.place(&key, prompt) {
            *place = Some(value);
        }
    })?;
    cursor.end()?;
    Ok(members)
}

impl Members {
    fn place(&mut self, key: &[u8], prompt: &[&str]) -> Option<&mut Option<Range<usize>>> {
        Some(match key {
            b"model" => &mut self.model,
            b"stream" => &mut self.stream,
            b"stream_options" => &mut self.stream_options,
            b"max_tokens" => &mut self.token_limits[0],
            b"max_completion_tokens" => &mut self.token_limits[1],
            b"max_output_tokens" => &mut self.token_limits[2],
            b"n" => &mut self.sequences[0],
            b"best_of" => &mut self.sequences[1],
            b"cache_salt" => &mut self.cache_salt,
            _ => {
                let at = prompt.iter().position(|name| name.as_bytes() == key)?;
                &mut self.prompt[at]
            }
        })
    }

    fn view(self, api: Api, body: &[u8]) -> Result<RequestView<'_>, BodyError> {
        let raw = |range: &Option<Range<usize>>| range.clone().map(|range| &body[range]);
        let numbers = |ranges: &[Option<Range<usize>>]| -> Vec<u32> {
            ranges.iter().filter_map(raw).filter_map(json::whole).collect()
        };
        let model_span = self.model.clone().filter(|range| &body[range.clone()] != b"null");
        let model = match &model_span {
            None => None,
            Some(range) => match json::text(&body[range.clone()]) {
                Some(model) => Some(model),
                None => {
                    return Err(BodyError { kind: BodyErrorKind::ModelNotString, offset: range.start });
                }
            },
        };
        let prompt = PromptView::new(self.prompt.each_ref().map(raw), api.prompt_members().len());
        let each = numbers(&self.sequences).into_iter().max().unwrap_or(1).max(1);
        Ok(RequestView {
            model,
            model_span,
            stream: raw(&self.stream) == Some(b"true"),
            include_usage: raw(&self.stream_options).is_some_and(includes_usage),
            output_tokens_max: numbers(&self.token_limits).into_iter().min(),
            sequences: if api.generates() { each.saturating_mul(prompt.prompts()) } else { 0 },
            prompt,
            cache_salt: raw(&self.cache_salt).and_then(json::text),
        })
    }
}

/// Whether `stream_options` asks for the usage. It is valid JSON already.
fn includes_usage(options: &[u8]) -> bool {
    let mut includes = false;
    let walked = Cursor::new(options).members(|key, value| {
        if *key == *b"include_usage" {
            includes = &options[value] == b"true";
        }
    });
    walked.is_ok() && includes
}

#[cfg(test)]
mod tests;
