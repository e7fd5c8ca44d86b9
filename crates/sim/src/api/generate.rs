//! From a checked request to answers in the making: limits, output lengths, seeds, submission.
//!
//! An answer's length and text are settled when its job is submitted: `max_tokens` when the request ignores the
//! end of sequence, else a draw from an exponential law with the configured mean, at least `min_tokens` (and 1)
//! and at most `max_tokens`. A draw below the limit ends with `stop`, any other with `length`.

use roadstead_engine::{AdapterId, FinishReason, Prompt, output_token, salt};
use serde::Deserialize;

use super::ApiError;
use super::fields::Prompts;
use crate::driver::{Answer, Order};
use crate::server::Sim;
use crate::text;

/// Answers that one request may ask for in all.
const CHOICES_MAX: usize = 1024;

/// `stream_options`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct StreamOptions {
    #[serde(default)]
    pub(crate) include_usage: Option<bool>,
}

/// What a request says about its answers, whatever the endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampling {
    pub(crate) max_tokens: Option<i64>,
    pub(crate) min_tokens: Option<i64>,
    pub(crate) n: Option<i64>,
    pub(crate) seed: Option<i64>,
    pub(crate) ignore_eos: bool,
    pub(crate) stream: bool,
    /// Limit where the request gives none; `None`: what the model's length leaves.
    pub(crate) default_max_tokens: Option<u32>,
}

/// A model name, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As answers quote it.
    pub(crate) name: String,
    pub(crate) adapter: Option<AdapterId>,
}

/// The answers to one request, by choice index.
pub(crate) struct Answers {
    pub(crate) answers: Vec<Answer>,
    /// Over all prompts.
    pub(crate) prompt_tokens: u32,
}

impl Answers {
    /// Tokens of all answers together.
    pub(crate) fn completion_tokens(&self) -> u32 {
        self.answers.iter().map(|answer| answer.output_tokens).sum()
    }

    /// Waits for all of them.
    pub(crate) async fn finished(&self) -> Result<(), ApiError> {
        for answer in &self.answers {
            answer.finished().await.map_err(|_| ApiError::from(crate::driver::SubmitError::Gone))?;
        }
        Ok(())
    }
}

/// Checks limits, settles lengths and submits one job for each prompt and each of its `n` answers.
pub(crate) fn generate(
    sim: &Sim,
    target: &Target,
    prompts: &Prompts,
    sampling: &Sampling,
) -> Result<Answers, ApiError> {
    let n = sampling.n.unwrap_or(1);
    if n < 1 {
        return Err(ApiError::bad_request(format!("n must be at least 1, got {n}.")));
    }
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    if n.saturating_mul(prompts.list.len()) > CHOICES_MAX {
        return Err(ApiError::bad_request(format!(
            "at most {CHOICES_MAX} answers, got {n} for each prompt."
        )));
    }
    let salt = salt(target.adapter.map(|_| target.name.as_str()), None);
    let mut answers = Vec::with_capacity(n * prompts.list.len());
    let mut prompt_tokens = 0;
    for bytes in &prompts.list {
        check_prompt(sim, text::count(bytes), prompts.ids)?;
        let limit = limit(sim, text::count(bytes), sampling)?;
        let prompt = Prompt::from_bytes(bytes, salt);
        prompt_tokens += prompt.tokens();
        for choice in 0..n {
            let seed = sim.next_seed(sampling.seed, choice as u64);
            let (output_tokens, finish) = length(sim, limit, sampling, seed);
            let order = Order {
                prompt: prompt.clone(),
                output_tokens,
                finish,
                seed,
                adapter: target.adapter,
                streamed: sampling.stream,
                max_tokens: Some(limit),
                n: n as u32,
            };
            answers.push(sim.driver.submit(order)?);
        }
    }
    Ok(Answers { answers, prompt_tokens })
}

/// Appends the text of `answer` from token `from` on.
pub(crate) fn write_text(out: &mut Vec<u8>, answer: &Answer, from: u32) {
    for index in from..answer.output_tokens {
        out.extend_from_slice(&output_token(answer.seed, index));
    }
}

/// The whole text of `answer`.
pub(crate) fn text_of(answer: &Answer) -> String {
    let mut out = Vec::with_capacity(answer.output_tokens as usize * text::TOKEN_BYTES);
    write_text(&mut out, answer, 0);
    String::from_utf8_lossy(&out).into_owned()
}

/// How `finish_reason` reads.
pub(crate) fn finish_word(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

/// A prompt must fit into the model's length. Texts are tokenised only as far as that takes, hence "at least".
pub(crate) fn check_prompt(sim: &Sim, prompt_tokens: u32, ids: bool) -> Result<(), ApiError> {
    let max = sim.max_model_len;
    if prompt_tokens <= max {
        return Ok(());
    }
    let (qualifier, tokens) = if ids { ("", prompt_tokens) } else { ("at least ", max + 1) };
    let message = format!(
        "This model's maximum context length is {max} tokens. However, your prompt contains {qualifier}{tokens} input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
    );
    Err(ApiError::bad_parameter(&message, "input_tokens", tokens))
}

/// Most tokens that the answer may have. A limit beyond what the model's length leaves is lowered to it.
fn limit(sim: &Sim, prompt_tokens: u32, sampling: &Sampling) -> Result<u32, ApiError> {
    let max = sim.max_model_len;
    if let Some(asked) = sampling.max_tokens.filter(|asked| *asked > i64::from(max)) {
        let message = format!(
            "max_tokens={asked} cannot be greater than max_model_len={max}. Please request fewer output tokens."
        );
        return Err(ApiError::bad_parameter(&message, "max_tokens", asked));
    }
    let left = i64::from(max.saturating_sub(prompt_tokens));
    let asked = sampling.max_tokens.or(sampling.default_max_tokens.map(i64::from));
    let limit = asked.map_or(left, |asked| asked.min(left));
    if limit < 1 {
        let message = format!("max_tokens must be at least 1, got {limit}.");
        return Err(ApiError::bad_parameter(&message, "max_tokens", limit));
    }
    let min_tokens = sampling.min_tokens.unwrap_or(0);
    if min_tokens > limit {
        let message =
            format!("min_tokens must be less than or equal to max_tokens={limit}, got {min_tokens}.");
        return Err(ApiError::bad_request(message));
    }
    Ok(u32::try_from(limit).unwrap_or(max))
}

fn length(sim: &Sim, limit: u32, sampling: &Sampling, seed: u64) -> (u32, FinishReason) {
    if sampling.ignore_eos {
        return (limit, FinishReason::Length);
    }
    let uniform = 1.0 - fastrand::Rng::with_seed(seed).f64();
    let drawn = (-uniform.ln() * f64::from(sim.mean_output_tokens)).ceil() as u32;
    let least = u32::try_from(sampling.min_tokens.unwrap_or(0)).unwrap_or(0).max(1);
    let drawn = drawn.max(least);
    if drawn < limit { (drawn, FinishReason::Stop) } else { (limit, FinishReason::Length) }
}
