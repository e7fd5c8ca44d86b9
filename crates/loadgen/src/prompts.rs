//! What the requests ask: texts of known length, the same for the same seed.
//!
//! Pure. A token is four bytes of text; generated text is three-letter pseudo-words and a space, so that its length is
//! exact and two texts share no prefix unless they are meant to. Request `index` follows from the seed and the index
//! alone. Nothing here knows where or when a request is sent.

use crate::body::Api;
use crate::lengths::LengthLaw;
use crate::random::{Use, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// Bytes of text per token.
pub const TOKEN_BYTES: usize = 4;
/// The largest prompt file that is read, in bytes.
pub const FILE_MAX_BYTES: u64 = 1 << 30;

/// Where prompts come from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompts {
    /// Unique texts with lengths by law.
    Law {
        /// Prompt tokens.
        input: LengthLaw,
        /// Answer tokens.
        output: LengthLaw,
    },
    /// Groups of prompts that share their beginning; every prompt once per pass, in shuffled order.
    Groups(Groups),
    /// The lines of a file in their order, again from the start after the last.
    File(PromptFile),
}

/// Groups of prompts with a shared beginning.
#[derive(Clone, Debug, Serialize)]
pub struct Groups {
    /// Number of groups.
    pub groups: u32,
    /// Different prompts in each.
    pub prompts: u32,
    /// Tokens of the part that a group shares.
    pub system: LengthLaw,
    /// Tokens of each prompt's own part.
    pub question: LengthLaw,
    /// Answer tokens.
    pub output: LengthLaw,
}

/// A loaded prompt file.
#[derive(Clone, Debug, Serialize)]
pub struct PromptFile {
    path: String,
    #[serde(skip)]
    lines: Arc<[Line]>,
}

/// The text of a request, escaped for JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Inside of a JSON string.
    Prompt(String),
    /// Inside of a JSON array of messages.
    Messages(String),
}

/// One request as drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// What it says.
    pub content: Content,
    /// Tokens of its text, at [`TOKEN_BYTES`] each.
    pub input_tokens: u32,
    /// Tokens that the answer may have.
    pub output_tokens: u32,
    /// Prefix group, where there are groups.
    pub group: Option<u32>,
    /// Index into the list of models.
    pub model: usize,
}

/// Draws requests by index.
#[derive(Debug)]
pub struct PromptSource {
    prompts: Prompts,
    api: Api,
    seed: u64,
    weights: Vec<f64>,
    /// Shared text of each group.
    group_texts: Vec<String>,
}

#[derive(Clone, Debug)]
struct Line {
    content: Content,
    input_tokens: u32,
    output_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct RawLine {
    prompt: Option<String>,
    messages: Option<Vec<Box<RawValue>>>,
    output_tokens: Option<u32>,
}

impl PromptFile {
    /// Reads a file of JSON lines: `{"prompt": "…", "output_tokens": 12}` or `{"messages": […], "output_tokens": 12}`.
    /// `output_tokens` may be absent (then the law of output lengths decides), other members are ignored.
    pub fn load(path: &Path, api: Api) -> Result<Self, String> {
        let shown = path.display();
        let size = std::fs::metadata(path).map_err(|e| format!("{shown}: {e}"))?.len();
        if size > FILE_MAX_BYTES {
            return Err(format!("{shown}: {size} bytes, at most {FILE_MAX_BYTES} are read"));
        }
        let text = std::fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))?;
        let parse = |(at, line)| Line::parse(line, api).map_err(|e| format!("{shown}, line {}: {e}", at + 1));
        let full = |(_, line): &(usize, &str)| !line.trim().is_empty();
        let lines = text.lines().enumerate().filter(full).map(parse).collect::<Result<Vec<_>, _>>()?;
        if lines.is_empty() {
            return Err(format!("{shown}: no prompts"));
        }
        Ok(Self { path: shown.to_string(), lines: lines.into() })
    }
}

impl Prompts {
    /// How many requests one pass has, where there is such a number.
    pub fn pass(&self) -> Option<u64> {
        match self {
            Prompts::Law { .. } => None,
            Prompts::Groups(groups) => Some(u64::from(groups.groups) * u64::from(groups.prompts)),
            Prompts::File(file) => Some(file.lines.len() as u64),
        }
    }
}

impl PromptSource {
    /// `weights` are the shares of the models.
    pub fn new(prompts: Prompts, api: Api, seed: u64, weights: Vec<f64>) -> Self {
        let group_texts = match &prompts {
            Prompts::Groups(groups) => (0..groups.groups)
                .map(|group| {
                    let mut rng = stream(seed, Use::GroupText, u64::from(group));
                    let length = groups.system.sample(&mut rng);
                    words(length, &mut rng)
                })
                .collect(),
            _ => Vec::new(),
        };
        Self { prompts, api, seed, weights, group_texts }
    }

    /// Request `index`.
    pub fn draw(&self, index: u64, default_output: &LengthLaw) -> Drawn {
        let mut rng = stream(self.seed, Use::Request, index);
        let model = pick(&self.weights, &mut rng);
        match &self.prompts {
            Prompts::Law { input, output } => {
                let input_tokens = input.sample(&mut rng);
                let output_tokens = output.sample(&mut rng);
                let content = single(self.api, "", &words(input_tokens, &mut rng));
                Drawn { content, input_tokens, output_tokens, group: None, model }
            }
            Prompts::Groups(groups) => self.draw_group(groups, index, model),
            Prompts::File(file) => {
                let line = &file.lines[(index % file.lines.len() as u64) as usize];
                let output_tokens = line.output_tokens.unwrap_or_else(|| default_output.sample(&mut rng));
                let content = line.content.clone();
                Drawn { content, input_tokens: line.input_tokens, output_tokens, group: None, model }
            }
        }
    }

    fn draw_group(&self, groups: &Groups, index: u64, model: usize) -> Drawn {
        let pass_len = u64::from(groups.groups) * u64::from(groups.prompts);
        let place = shuffled(index % pass_len, pass_len, self.seed, index / pass_len);
        let group = (place / u64::from(groups.prompts)) as u32;
        let shared = &self.group_texts[group as usize];
        let mut rng = stream(self.seed, Use::GroupQuestion, place);
        let question_tokens = groups.question.sample(&mut rng);
        let output_tokens = groups.output.sample(&mut rng);
        let content = single(self.api, shared, &words(question_tokens, &mut rng));
        let input_tokens = (shared.len() / TOKEN_BYTES) as u32 + question_tokens;
        Drawn { content, input_tokens, output_tokens, group: Some(group), model }
    }
}

impl Line {
    fn parse(line: &str, api: Api) -> Result<Self, String> {
        let raw: RawLine = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let output_tokens = raw.output_tokens;
        if output_tokens == Some(0) {
            return Err("output_tokens is 0".into());
        }
        let (content, bytes) = match (raw.prompt, raw.messages) {
            (Some(prompt), None) => (single(api, "", &escape(&prompt)), prompt.len()),
            (None, Some(_)) if api == Api::Completions => {
                return Err("messages need the chat API".into());
            }
            (None, Some(messages)) if messages.is_empty() => return Err("messages is empty".into()),
            (None, Some(messages)) => {
                let inside = messages.iter().map(|m| m.get()).collect::<Vec<_>>().join(",");
                let bytes = inside.len();
                (Content::Messages(inside), bytes)
            }
            _ => return Err("a line has either prompt or messages".into()),
        };
        let input_tokens = bytes.div_ceil(TOKEN_BYTES) as u32;
        Ok(Self { content, input_tokens, output_tokens })
    }
}

/// `tokens` tokens of pseudo-words: letters and spaces only, so it needs no escaping.
pub fn words(tokens: u32, rng: &mut fastrand::Rng) -> String {
    static WORDS: LazyLock<Vec<[u8; TOKEN_BYTES]>> = LazyLock::new(word_table);
    let mut text = Vec::with_capacity(tokens as usize * TOKEN_BYTES);
    let mut left = tokens;
    while left > 0 {
        let mut bits = rng.u64(..);
        for _ in 0..left.min(5) {
            text.extend_from_slice(&WORDS[(bits & 2047) as usize]);
            bits >>= 11;
        }
        left -= left.min(5);
    }
    String::from_utf8(text).expect("words are ascii")
}

/// One user turn, after a shared beginning that may be empty; both escaped already.
pub(crate) fn single(api: Api, shared: &str, own: &str) -> Content {
    match api {
        Api::Completions => Content::Prompt([shared, own].concat()),
        Api::Chat if shared.is_empty() => Content::Messages(message("user", own)),
        Api::Chat => Content::Messages([&message("system", shared), ",", &message("user", own)].concat()),
    }
}

/// One chat message; `text` is escaped already.
pub(crate) fn message(role: &str, text: &str) -> String {
    [r#"{"role":""#, role, r#"","content":""#, text, r#""}"#].concat()
}

/// The index that a draw by `weights` gives.
pub(crate) fn pick(weights: &[f64], rng: &mut fastrand::Rng) -> usize {
    let mut left = rng.f64() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return index;
        }
    }
    weights.len().saturating_sub(1)
}

/// Inside of the JSON string that holds `text`.
fn escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Where item `index` of `len` stands in the shuffled order of pass `pass`: a permutation computed for one item (cycle
/// walking over a small Feistel network), so that no order has to be stored.
fn shuffled(index: u64, len: u64, seed: u64, pass: u64) -> u64 {
    let half_bits = (64 - len.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half_bits) - 1;
    let mut rng = stream(seed, Use::GroupOrder, pass);
    let keys: [u64; 4] = std::array::from_fn(|_| rng.u64(..));
    let mut at = index;
    loop {
        let (mut left, mut right) = (at >> half_bits, at & mask);
        for key in keys {
            let round = stream(key, Use::GroupOrder, right).u64(..) & mask;
            (left, right) = (right, left ^ round);
        }
        at = (left << half_bits) | right;
        if at < len {
            return at;
        }
    }
}

fn word_table() -> Vec<[u8; TOKEN_BYTES]> {
    const CONSONANTS: &[u8] = b"bcdfghjklmnpqrstvwxyz";
    let mut table = Vec::with_capacity(2205);
    for first in CONSONANTS {
        for vowel in b"aeiou" {
            table.extend(CONSONANTS.iter().map(|last| [*first, *vowel, *last, b' ']));
        }
    }
    table
}

#[cfg(test)]
mod tests;
