//! The usage object of an answer or of a stream's event, found without building a tree.
//!
//! Used when an exchange is accounted. Tolerant: whatever is missing, cut or of another type is simply not
//! known. Knows the OpenAI names, those of the Responses API and Anthropic's.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem;
use roadstead_core::Usage;

use crate::json::{self, Cursor};

/// Objects that are tried, the last one first: a bound on the work for answers that repeat the word.
const TRIES_MAX: usize = 4;

const KEY: &[u8] = b"\"usage\"";
/// Looks for the key from the end. Made once, for that costs more than most searches.
static LAST_KEY: LazyLock<memmem::FinderRev<'static>> = LazyLock::new(|| memmem::FinderRev::new(KEY));

/// The last complete `"usage": {…}` in `json`, which may be an answer, an event or the tail of one.
/// `None` where there is none or it names no count that we know.
pub fn usage_of(json: &[u8]) -> Option<Usage> {
    let mut before = json.len();
    for _ in 0..TRIES_MAX {
        let at = LAST_KEY.rfind(&json[..before])?;
        before = at;
        let escaped = at > 0 && json[at - 1] == b'\\';
        if let Some(usage) = json[at + KEY.len()..].trim_ascii_start().strip_prefix(b":")
            && !escaped
            && let Some(usage) = read(usage.trim_ascii_start())
        {
            return Some(usage);
        }
    }
    None
}

/// `newer` over `older`, member by member: a stream may tell the prompt's size first and the output's last.
pub(crate) fn merge(older: Usage, newer: Usage) -> Usage {
    Usage {
        prompt_tokens: newer.prompt_tokens.or(older.prompt_tokens),
        cached_tokens: newer.cached_tokens.or(older.cached_tokens),
        output_tokens: newer.output_tokens.or(older.output_tokens),
    }
}

/// Reads the object that `text` begins with.
fn read(text: &[u8]) -> Option<Usage> {
    let mut usage = Usage::default();
    let mut input_tokens = None;
    let mut cache_read = None;
    let mut cache_creation = None;
    let mut cursor = Cursor::new(text);
    let walked = cursor.members(|key, value: Range<usize>| {
        let raw = &text[value];
        let place = match &*key {
            b"prompt_tokens" => &mut usage.prompt_tokens,
            b"completion_tokens" | b"output_tokens" => &mut usage.output_tokens,
            b"input_tokens" => &mut input_tokens,
            b"cache_read_input_tokens" => &mut cache_read,
            b"cache_creation_input_tokens" => &mut cache_creation,
            b"prompt_tokens_details" | b"input_tokens_details" => {
                usage.cached_tokens = cached(raw).or(usage.cached_tokens);
                return;
            }
            _ => return,
        };
        *place = json::whole(raw).or(*place);
    });
    walked.ok()?;
    // Anthropic counts what came from the cache, and what went into it, apart from the input.
    usage.prompt_tokens = usage.prompt_tokens.or_else(|| {
        let apart = cache_read.unwrap_or(0).saturating_add(cache_creation.unwrap_or(0));
        input_tokens.map(|input: u32| input.saturating_add(apart))
    });
    usage.cached_tokens = usage.cached_tokens.or(cache_read);
    (usage != Usage::default()).then_some(usage)
}

fn cached(details: &[u8]) -> Option<u32> {
    let mut cached = None;
    let walked = Cursor::new(details).members(|key, value| {
        if *key == *b"cached_tokens" {
            cached = json::whole(&details[value]);
        }
    });
    walked.ok().and(cached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(prompt: u32, cached: impl Into<Option<u32>>, output: u32) -> Option<Usage> {
        Some(Usage { prompt_tokens: Some(prompt), cached_tokens: cached.into(), output_tokens: Some(output) })
    }

    #[test]
    fn reads_every_dialect() {
        for (text, expected) in [
            (r#"{"usage":{"prompt_tokens":14,"total_tokens":20,"completion_tokens":6}}"#, usage(14, None, 6)),
            (
                r#"{"usage": {"prompt_tokens":14,"completion_tokens":6,"prompt_tokens_details":{"cached_tokens":8}}}"#,
                usage(14, 8, 6),
            ),
            (
                r#"{"usage":{"prompt_tokens":14,"completion_tokens":6,"prompt_tokens_details":null}}"#,
                usage(14, None, 6),
            ),
            (
                r#"{"response":{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":2}}}"#,
                usage(9, 4, 2),
            ),
            (
                r#"{"usage":{"input_tokens":5,"cache_creation_input_tokens":100,"cache_read_input_tokens":20,"output_tokens":3}}"#,
                usage(125, 20, 3),
            ),
        ] {
            assert_eq!(usage_of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_last_complete_object_counts() {
        let text = br#"{"usage":{"prompt_tokens":1,"completion_tokens":1},"x":{"usage":{"prompt_tokens":2,"completion_tokens":2}},"usage":null}"#;
        assert_eq!(usage_of(text), usage(2, None, 2));
        let cut = br#"{"usage":{"prompt_tokens":1,"completion_tokens":1},"usage":{"prompt_tokens":2,"comp"#;
        assert_eq!(usage_of(cut), usage(1, None, 1));
    }

    #[test]
    fn text_that_speaks_of_usage_is_not_usage() {
        for text in [
            r#"{"content":"\"usage\":{\"prompt_tokens\":1}"}"#,
            r#"{"a":"usage","b":{"prompt_tokens":1}}"#,
            r#"{"usage":null}"#,
            r#"{"usage":{}}"#,
            r#"{"usage":{"prompt_tokens":"many"}}"#,
            r#"{"usage"#,
            "",
        ] {
            assert_eq!(usage_of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn newer_counts_win_member_by_member() {
        let older = Usage { prompt_tokens: Some(5), cached_tokens: Some(1), output_tokens: Some(1) };
        let newer = Usage { output_tokens: Some(9), ..Usage::default() };
        assert_eq!(merge(older, newer), Usage { output_tokens: Some(9), ..older });
    }
}
