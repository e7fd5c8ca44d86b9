//! The prompt as raw bytes: how large it is, and its chained block hashes.
//!
//! Fed by the request scanner, read by the cost estimate and the prefix index. Hashes run over the JSON as it
//! was sent, escapes and all: equal hashes mean equal bytes up to the block's end, under the same model and
//! salt. A prompt that extends another one shares all its full blocks. It must not know tokenizers.

use memchr::{memchr, memchr_iter, memchr2};
use roadstead_core::BlockHash;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::openai::request::RequestView;

/// Members that can make up one prompt.
pub(super) const PROMPT_MEMBERS_MAX: usize = 3;

/// Bytes of text in a token, for estimates made before tokenisation.
const TOKEN_BYTES: usize = 4;

/// The prompt's raw bytes in cache order.
#[derive(Clone, Copy, Debug)]
pub struct PromptView<'a> {
    parts: [&'a [u8]; PROMPT_MEMBERS_MAX],
    tokens: Option<u32>,
    prompts: u32,
}

impl<'a> PromptView<'a> {
    /// `members`: the raw JSON values, of which the API has `count`. The last one is what grows from turn to
    /// turn: it goes without its closing delimiter, which would otherwise differ from the longer prompt's bytes.
    pub(super) fn new(members: [Option<&'a [u8]>; PROMPT_MEMBERS_MAX], count: usize) -> PromptView<'a> {
        let mut parts = members.map(|member| member.filter(|raw| *raw != b"null").unwrap_or_default());
        let mut tokens = None;
        let mut prompts = 1;
        if let Some(last) = count.checked_sub(1) {
            if count == 1 {
                tokens = token_ids(parts[last]);
                prompts = prompt_count(parts[last]);
            }
            parts[last] = without_closing(parts[last]);
        }
        PromptView { parts, tokens, prompts }
    }

    /// The slices of the body, in order; an absent member gives an empty one.
    pub fn parts(&self) -> &[&'a [u8]] {
        &self.parts
    }

    /// Bytes in all.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Token ids in the prompt, where the client tokenised it.
    pub fn token_ids(&self) -> Option<u32> {
        self.tokens
    }

    /// Prompts in the body: more than one where an array of them was sent.
    pub fn prompts(&self) -> u32 {
        self.prompts
    }
}

/// Bytes of the prompt as sent.
pub fn prompt_bytes(view: &RequestView<'_>) -> usize {
    view.prompt.bytes()
}

/// Tokens of the prompt: counted where it is sent as token ids, else estimated from its bytes.
pub fn prompt_tokens(view: &RequestView<'_>) -> u32 {
    let estimate = || estimate_tokens(view.prompt.bytes());
    view.prompt.tokens.unwrap_or_else(|| u32::try_from(estimate()).unwrap_or(u32::MAX))
}

/// Tokens in `bytes` of text, before tokenisation.
pub fn estimate_tokens(bytes: usize) -> usize {
    bytes.div_ceil(TOKEN_BYTES)
}

/// Where a chain of block hashes starts: prompts share blocks only under the same model and salt.
pub fn hash_seed(model: &str, salt: Option<&str>) -> u64 {
    xxh3_64_with_seed(model.as_bytes(), xxh3_64(salt.unwrap_or_default().as_bytes()))
}

/// Chained hashes of the prompt's full blocks of `block_bytes`, at most `blocks_max` of them. None where
/// `block_bytes` is 0.
pub fn block_hashes(
    view: &RequestView<'_>,
    seed: u64,
    block_bytes: usize,
    blocks_max: usize,
) -> Vec<BlockHash> {
    let Some(blocks) = view.prompt.bytes().checked_div(block_bytes) else { return Vec::new() };
    let mut chain = Chain { last: seed, hashes: Vec::with_capacity(blocks.min(blocks_max)), blocks_max };
    // The block that a part ends in; the next part completes it.
    let mut open = Vec::new();
    for part in view.prompt.parts {
        let mut rest = part;
        if !open.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(block_bytes - open.len()));
            open.extend_from_slice(head);
            rest = tail;
            if open.len() == block_bytes {
                chain.push(&open);
                open.clear();
            }
        }
        let full = rest.chunks_exact(block_bytes);
        let left = full.remainder();
        for block in full {
            if !chain.push(block) {
                return chain.hashes;
            }
        }
        open.extend_from_slice(left);
    }
    chain.hashes
}

struct Chain {
    last: u64,
    hashes: Vec<BlockHash>,
    blocks_max: usize,
}

impl Chain {
    /// Adds a block; false where there is no room for it.
    fn push(&mut self, block: &[u8]) -> bool {
        if self.hashes.len() == self.blocks_max {
            return false;
        }
        let mut link = [0; 16];
        link[..8].copy_from_slice(&self.last.to_le_bytes());
        link[8..].copy_from_slice(&xxh3_64(block).to_le_bytes());
        self.last = xxh3_64(&link);
        self.hashes.push(self.last);
        true
    }
}

/// A JSON string or array without its closing delimiter and the white space before a bracket.
fn without_closing(raw: &[u8]) -> &[u8] {
    match raw {
        [b'"', .., b'"'] => &raw[..raw.len() - 1],
        [b'[', inner @ .., b']'] => &raw[..1 + inner.trim_ascii_end().len()],
        _ => raw,
    }
}

/// Token ids in a valid JSON array of numbers or of arrays of numbers; `None` for anything else.
fn token_ids(raw: &[u8]) -> Option<u32> {
    let first = raw.strip_prefix(b"[")?.trim_ascii_start().first()?;
    if !matches!(first, b'0'..=b'9' | b'[') || memchr(b'"', raw).is_some() {
        return None;
    }
    let commas = memchr_iter(b',', raw).count();
    Some(u32::try_from(commas + 1).unwrap_or(u32::MAX))
}

/// Prompts in a valid JSON value: the elements of an array of strings or arrays, else one.
fn prompt_count(raw: &[u8]) -> u32 {
    let Some(inner) = raw.strip_prefix(b"[") else { return 1 };
    let count = match inner.trim_ascii_start().first() {
        Some(b'[') => memchr_iter(b'[', inner).count(),
        Some(b'"') => strings(inner),
        _ => 1,
    };
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Strings in a stretch of valid JSON.
fn strings(mut json: &[u8]) -> usize {
    let mut count = 0;
    while let Some(start) = memchr(b'"', json) {
        count += 1;
        json = &json[start + 1..];
        while let Some(at) = memchr2(b'"', b'\\', json) {
            let escape = json[at] == b'\\';
            json = &json[at + 1 + usize::from(escape)..];
            if !escape {
                break;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests;
