//! One access-log line: its fields, as JSON for machines and as text for terminals.

use std::fmt::Write;
use std::time::SystemTime;

use crate::digits;
use crate::timestamp::write_rfc3339;

/// Longest text of one field in bytes; longer ones are cut.
const FIELD_BYTES_MAX: usize = 512;

/// What is said of one request. Empty texts and `None` are left out of the line.
#[derive(Clone, Copy, Debug)]
pub struct AccessEntry<'a> {
    /// When it arrived.
    pub time: SystemTime,
    /// Its `x-request-id`.
    pub request_id: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Path without the query.
    pub path: &'a str,
    /// Model that the client asked for.
    pub model: &'a str,
    /// Model that the endpoint was asked for.
    pub target_model: &'a str,
    /// Endpoint that answered.
    pub endpoint: &'a str,
    /// HTTP status given to the client; 0 when it got none.
    pub status: u16,
    /// From arrival to the first byte of the answer, in milliseconds.
    pub ttft_ms: Option<f64>,
    /// From arrival to the end, in milliseconds.
    pub duration_ms: f64,
    /// Prompt tokens, as the engine counted or as estimated.
    pub prompt_tokens: Option<u32>,
    /// Of those, served from the prefix cache.
    pub cached_tokens: Option<u32>,
    /// Tokens generated.
    pub output_tokens: Option<u32>,
    /// Time in the wait queue, in milliseconds.
    pub queue_ms: f64,
    /// Endpoints tried.
    pub attempts: u32,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the response body.
    pub bytes_out: u64,
    /// Why this endpoint, in short.
    pub why: &'a str,
    /// What went wrong.
    pub error: &'a str,
}

impl Default for AccessEntry<'_> {
    fn default() -> Self {
        AccessEntry {
            time: SystemTime::UNIX_EPOCH,
            request_id: "",
            method: "",
            path: "",
            model: "",
            target_model: "",
            endpoint: "",
            status: 0,
            ttft_ms: None,
            duration_ms: 0.0,
            prompt_tokens: None,
            cached_tokens: None,
            output_tokens: None,
            queue_ms: 0.0,
            attempts: 0,
            bytes_in: 0,
            bytes_out: 0,
            why: "",
            error: "",
        }
    }
}

impl AccessEntry<'_> {
    /// Appends the line as one JSON object and a line feed.
    pub(super) fn json(&self, out: &mut String) {
        out.push_str("{\"time\":\"");
        write_rfc3339(self.time, out);
        out.push('"');
        json_text(out, "request_id", self.request_id);
        json_text(out, "method", self.method);
        json_text(out, "path", self.path);
        json_text(out, "model", self.model);
        json_text(out, "target_model", self.target_model);
        json_text(out, "endpoint", self.endpoint);
        json_count(out, "status", self.status.into());
        if let Some(ms) = self.ttft_ms {
            json_ms(out, "ttft_ms", ms);
        }
        json_ms(out, "duration_ms", self.duration_ms);
        for (name, count) in self.token_counts() {
            if let Some(count) = count {
                json_count(out, name, count.into());
            }
        }
        json_ms(out, "queue_ms", self.queue_ms);
        json_count(out, "attempts", self.attempts.into());
        json_count(out, "bytes_in", self.bytes_in);
        json_count(out, "bytes_out", self.bytes_out);
        json_text(out, "why", self.why);
        json_text(out, "error", self.error);
        out.push_str("}\n");
    }

    /// Appends the line for a person's eyes.
    pub(super) fn text(&self, out: &mut String) {
        write_rfc3339(self.time, out);
        out.push_str(if self.status < 10 {
            "   "
        } else if self.status < 100 {
            "  "
        } else {
            " "
        });
        digits::push(out, self.status.into());
        out.push(' ');
        plain(out, self.method);
        out.push(' ');
        plain(out, self.path);
        text_ms(out, " ", self.duration_ms);
        if let Some(ms) = self.ttft_ms {
            text_ms(out, " ttft=", ms);
        }
        if self.queue_ms >= 0.1 {
            text_ms(out, " queue=", self.queue_ms);
        }
        text_field(out, "model", self.model);
        if self.target_model != self.model {
            text_field(out, "target", self.target_model);
        }
        text_field(out, "endpoint", self.endpoint);
        for (name, count) in self.token_counts() {
            if let Some(count) = count {
                text_count(out, name, count.into());
            }
        }
        if self.attempts > 1 {
            text_count(out, "attempts", self.attempts.into());
        }
        text_field(out, "why", self.why);
        text_field(out, "error", self.error);
        text_field(out, "id", self.request_id);
        out.push('\n');
    }

    fn token_counts(&self) -> [(&'static str, Option<u32>); 3] {
        [
            ("prompt_tokens", self.prompt_tokens),
            ("cached_tokens", self.cached_tokens),
            ("output_tokens", self.output_tokens),
        ]
    }
}

fn json_name(out: &mut String, name: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
}

fn json_count(out: &mut String, name: &str, count: u64) {
    json_name(out, name);
    digits::push(out, count);
}

fn json_ms(out: &mut String, name: &str, ms: f64) {
    json_name(out, name);
    digits::push_decimal(out, ms, 3);
}

fn json_text(out: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    json_name(out, name);
    out.push('"');
    let value = cut(value);
    // Without an early exit, so that many bytes are looked at together.
    let harmless = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    if value.bytes().fold(true, |all, byte| all & harmless(byte)) {
        out.push_str(value);
    } else {
        value.chars().for_each(|character| json_character(out, character));
    }
    out.push('"');
}

fn json_character(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // U+2028 and U+2029 are legal JSON but end lines for some readers.
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
            let _ = write!(out, "\\u{:04x}", character as u32); // writing to a String cannot fail
        }
        plain => out.push(plain),
    }
}

fn text_count(out: &mut String, name: &str, count: u64) {
    out.push(' ');
    out.push_str(name);
    out.push('=');
    digits::push(out, count);
}

fn text_ms(out: &mut String, name: &str, ms: f64) {
    out.push_str(name);
    digits::push_decimal(out, ms, 1);
    out.push_str("ms");
}

fn text_field(out: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    out.push(' ');
    out.push_str(name);
    out.push('=');
    plain(out, value);
}

/// Text without anything that could move a terminal's cursor or end the line.
fn plain(out: &mut String, value: &str) {
    out.extend(cut(value).chars().map(|character| if character.is_control() { '?' } else { character }));
}

fn cut(value: &str) -> &str {
    if value.len() <= FIELD_BYTES_MAX {
        return value;
    }
    let mut end = FIELD_BYTES_MAX;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}
