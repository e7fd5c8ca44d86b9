//! Watches a server-sent event stream go by: counts its events, finds its usage.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html> §9.2.6.
//!
//! Fed with the body's chunks as they pass, wherever they are cut; never holds them back. Keeps at most
//! [`HEAD_BYTES`] and twice [`TAIL_BYTES`] of an unfinished line. Used while an answer is forwarded, to account
//! it. It must not know who reads the stream.

use memchr::{memchr2, memmem};
use roadstead_core::Usage;

use crate::openai::usage::{merge, usage_of};

/// Bytes at the start of an event's data in which its kind is looked for.
pub const HEAD_BYTES: usize = 1024;
/// Bytes at the end of an event's data in which its usage is looked for.
pub const TAIL_BYTES: usize = 8192;

const FIELD: &[u8] = b"data:";

/// The state between chunks.
#[derive(Clone, Debug, Default)]
pub struct EventScanner {
    events: u64,
    token_events: u64,
    done: bool,
    usage: Option<Usage>,
    /// Whether this event's data has been counted.
    counted: bool,
    /// Whether the last byte was a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    line: Line,
}

/// The unfinished line: its first and its last bytes.
#[derive(Clone, Debug, Default)]
struct Line {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl EventScanner {
    /// Before the first byte.
    pub fn new() -> EventScanner {
        EventScanner::default()
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr2(b'\n', b'\r', rest) {
            let line = &rest[..end];
            if self.line.head.is_empty() {
                self.line(&line[..line.len().min(HEAD_BYTES)], last(line));
            } else {
                self.line.push(line);
                let held = std::mem::take(&mut self.line);
                self.line(&held.head, last(&held.tail));
                self.line = held.cleared();
            }
            let cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if cr {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.line.push(rest);
    }

    /// Events with data that have passed whole, `[DONE]` not counted.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Of those, the ones that bring output.
    pub fn token_events(&self) -> u64 {
        self.token_events
    }

    /// Whether an event with output has passed.
    pub fn tokens_seen(&self) -> bool {
        self.token_events > 0
    }

    /// Whether `[DONE]` has passed.
    pub fn done(&self) -> bool {
        self.done
    }

    /// The usage, as far as the stream has told it.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Takes a whole line, of which `head` and `tail` are the first and the last bytes.
    fn line(&mut self, head: &[u8], tail: &[u8]) {
        if head.is_empty() {
            self.counted = false;
            return;
        }
        let Some(data) = head.strip_prefix(FIELD) else { return };
        let data = data.trim_ascii_start();
        if data.trim_ascii_end() == b"[DONE]" {
            self.done = true;
            return;
        }
        if let Some(usage) = usage_of(tail) {
            self.usage = Some(merge(self.usage.unwrap_or_default(), usage));
        }
        if !self.counted {
            self.counted = true;
            self.events += 1;
            self.token_events += u64::from(brings_output(data));
        }
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // Let the tail grow to twice its size before its front is dropped, so that bytes are moved rarely.
        let bytes = last(bytes);
        if self.tail.len() + bytes.len() > 2 * TAIL_BYTES {
            let keep = TAIL_BYTES - bytes.len();
            self.tail.drain(..self.tail.len() - keep);
        }
        self.tail.extend_from_slice(bytes);
    }

    /// Empty, with its buffers kept.
    fn cleared(mut self) -> Line {
        self.head.clear();
        self.tail.clear();
        self
    }
}

fn last(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(TAIL_BYTES)..]
}

/// Whether an event's data is a piece of the answer, by the start of it. Completions and chat: it has a choice,
/// and is not the one that only announces the role. Responses and Anthropic: its type is some delta. Others:
/// whatever is not an error.
fn brings_output(data: &[u8]) -> bool {
    let head = &data[..data.len().min(HEAD_BYTES - FIELD.len())];
    let has = |needle: &str| memmem::find(head, needle.as_bytes()).is_some();
    if let Some(at) = memmem::find(head, b"\"choices\"") {
        let choices = head[at + 9..].trim_ascii_start().strip_prefix(b":").unwrap_or_default();
        let first = choices.trim_ascii_start().strip_prefix(b"[").unwrap_or_default().trim_ascii_start();
        let announces = has("\"role\":\"assistant\"") && (has("\"content\":\"\"") || has("\"content\":null"));
        return first.first().is_some_and(|byte| *byte != b']') && !announces;
    }
    match memmem::find(head, b"\"type\"") {
        Some(at) => {
            let kind = head[at + 6..].trim_ascii_start().strip_prefix(b":").unwrap_or_default();
            let kind = kind.trim_ascii_start().strip_prefix(b"\"").unwrap_or_default();
            let kind = kind.split(|byte| *byte == b'"').next().unwrap_or_default();
            kind.ends_with(b"delta") && kind != b"message_delta"
        }
        None => !has("\"error\""),
    }
}

#[cfg(test)]
mod tests;
