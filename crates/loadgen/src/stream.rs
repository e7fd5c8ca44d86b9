//! What a streamed answer says, found without decoding its JSON.
//!
//! Pure: bytes in, events out. The scanner works line by line with a vectorised search and keeps only an unfinished
//! line between chunks. It looks for the text of an event, for usage, for an error and for the end mark; it does not
//! check that the rest is JSON.

use memchr::{memchr, memmem};
use serde::Deserialize;

/// The longest line that is kept for its end to arrive, in bytes; a longer one makes the stream malformed.
pub const LINE_MAX_BYTES: usize = 1 << 20;

/// Something that a stream said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// An event with text: the inside of its JSON string, not unescaped.
    Text(&'a [u8]),
    /// A data event without text.
    Empty,
    /// Token counts; comes after the `Text` or `Empty` of the same event.
    Usage(Usage),
    /// An error object instead of a choice: its JSON.
    Error(&'a [u8]),
    /// The end mark `[DONE]`.
    Done,
    /// A line that is longer than [`LINE_MAX_BYTES`]; nothing more comes.
    TooLong,
}

/// Token counts as the server reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
    /// Tokens of the prompt that were in the prefix cache, if told.
    pub cached_tokens: Option<u32>,
}

/// Splits a body into events.
#[derive(Debug)]
pub struct Scanner {
    unfinished: Vec<u8>,
    text: memmem::Finder<'static>,
    usage: memmem::Finder<'static>,
}

#[derive(Deserialize)]
struct RawUsage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<RawDetails>,
}

#[derive(Deserialize)]
struct RawDetails {
    cached_tokens: Option<u32>,
}

impl Scanner {
    /// A scanner for one answer; `text_key` is the JSON member that holds an event's text: `content` or `text`.
    pub fn new(chat: bool) -> Self {
        let key: &[u8] = if chat { b"\"content\":" } else { b"\"text\":" };
        Self {
            unfinished: Vec::new(),
            text: memmem::Finder::new(key),
            usage: memmem::Finder::new(b"\"usage\":"),
        }
    }

    /// Takes the next bytes of the body and says what they hold.
    pub fn feed(&mut self, mut chunk: &[u8], mut on: impl FnMut(Event<'_>)) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = (&chunk[..end], &chunk[end + 1..]);
            if self.unfinished.is_empty() {
                self.line(line, &mut on);
            } else {
                let mut whole = std::mem::take(&mut self.unfinished);
                whole.extend_from_slice(line);
                self.line(&whole, &mut on);
                whole.clear();
                self.unfinished = whole;
            }
            chunk = rest;
        }
        if self.unfinished.len() + chunk.len() > LINE_MAX_BYTES {
            self.unfinished.clear();
            return on(Event::TooLong);
        }
        self.unfinished.extend_from_slice(chunk);
    }

    fn line(&self, line: &[u8], on: &mut impl FnMut(Event<'_>)) {
        let Some(data) = line.strip_prefix(b"data:") else { return };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            return on(Event::Done);
        }
        if is_error(data) {
            return on(Event::Error(data));
        }
        match text_of(&self.text, data) {
            Some(text) if !text.is_empty() => on(Event::Text(text)),
            _ => on(Event::Empty),
        }
        if let Some(usage) = self.usage.find(data).and_then(|at| usage_at(&data[at + 8..])) {
            on(Event::Usage(usage));
        }
    }
}

/// Reads a usage object that starts `json` (bytes may follow it); nothing if it is null or no such object.
pub fn usage_at(json: &[u8]) -> Option<Usage> {
    let raw = serde_json::Deserializer::from_slice(json).into_iter::<Option<RawUsage>>().next()?.ok()??;
    Some(Usage {
        prompt_tokens: raw.prompt_tokens,
        completion_tokens: raw.completion_tokens,
        cached_tokens: raw.prompt_tokens_details.and_then(|details| details.cached_tokens),
    })
}

/// The first string after `key`, without its quotes.
fn text_of<'a>(key: &memmem::Finder<'_>, data: &'a [u8]) -> Option<&'a [u8]> {
    let rest = data[key.find(data)? + key.needle().len()..].trim_ascii_start().strip_prefix(b"\"")?;
    let mut from = 0;
    loop {
        let quote = from + memchr(b'"', &rest[from..])?;
        let backslashes = rest[..quote].iter().rev().take_while(|&&b| b == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(&rest[..quote]);
        }
        from = quote + 1;
    }
}

fn is_error(data: &[u8]) -> bool {
    data.strip_prefix(b"{").is_some_and(|inside| inside.trim_ascii_start().starts_with(b"\"error\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = concat!(
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" a\\\"b\\\\\"}}]}\n\n",
        ": a comment\n\n",
        "data: {\"id\": \"c\", \"choices\": [{\"index\": 0, \"delta\": {\"content\": \"two\"}}]}\r\n\r\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,",
        "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n",
        "data: [DONE]\n\n",
    );

    fn scan(chat: bool, chunks: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
        let mut scanner = Scanner::new(chat);
        let mut events = Vec::new();
        chunks.for_each(|chunk| {
            scanner.feed(&chunk, |event| {
                events.push(match event {
                    Event::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                    Event::Error(_) => "error".into(),
                    other => format!("{other:?}"),
                });
            });
        });
        events
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let whole = scan(true, std::iter::once(CHAT.as_bytes().to_vec()));
        assert_eq!(
            whole,
            [
                "Empty",
                " a\\\"b\\\\",
                "two",
                "Empty",
                "Usage(Usage { prompt_tokens: 9, completion_tokens: 2, cached_tokens: Some(4) })",
                "Done"
            ]
        );
        for size in 1..64 {
            assert_eq!(scan(true, CHAT.as_bytes().chunks(size).map(<[u8]>::to_vec)), whole, "{size}");
        }
    }

    #[test]
    fn an_answer_of_vllm_is_counted_as_vllm_counts_it() {
        let capture = include_str!("../tests/fixtures/vllm-0.32.0-chat-stream-usage.http");
        let (_, body) = capture.split_once("\r\n\r\n").unwrap();
        let events = scan(true, std::iter::once(body.as_bytes().to_vec()));
        assert_eq!(events.len(), 10);
        assert_eq!(events[0], "Empty", "the role comes without text");
        assert_eq!(events[2], " challenged");
        assert_eq!(events.iter().filter(|event| *event == "Empty").count(), 2);
        assert!(events[8].contains("completion_tokens: 6"), "{events:?}");
        assert_eq!(events[9], "Done");
    }

    #[test]
    fn usage_of_vllm_is_read_with_its_nulls() {
        let capture = include_bytes!("../tests/fixtures/vllm-0.32.0-completion.http");
        let at = memmem::rfind(capture, b"\"usage\":").unwrap();
        let usage = Usage { prompt_tokens: 300, completion_tokens: 40, cached_tokens: None };
        assert_eq!(usage_at(&capture[at + 8..]), Some(usage));
        assert_eq!(usage_at(b"null,"), None);
    }

    #[test]
    fn completions_keep_their_text_under_another_name() {
        let body = b"data: {\"choices\":[{\"index\":0,\"text\":\" foo\",\"finish_reason\":null}],\"usage\":null}\n\n";
        assert_eq!(scan(false, std::iter::once(body.to_vec())), [" foo"]);
    }

    #[test]
    fn an_error_inside_a_stream_is_told() {
        let body = b"data: {\"error\":{\"message\":\"boom\",\"code\":500}}\n\n";
        assert_eq!(scan(true, std::iter::once(body.to_vec())), ["error"]);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let chunks = (0..40).map(|_| vec![b'x'; LINE_MAX_BYTES / 32]);
        assert!(scan(true, chunks).contains(&"TooLong".to_owned()));
    }
}
