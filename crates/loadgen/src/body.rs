//! The JSON of a request, written from pieces that are escaped already.
//!
//! Pure. The pieces that are the same for all requests are written once; a request costs one allocation of its exact
//! size and three copies.

use crate::prompts::Content;
use bytes::Bytes;
use serde::Serialize;
use std::fmt::Write as _;

/// Which API is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `/v1/completions`: a prompt.
    Completions,
    /// `/v1/chat/completions`: messages.
    Chat,
}

impl Api {
    /// Path below the base URL.
    pub fn path(self) -> &'static str {
        match self {
            Self::Completions => "/v1/completions",
            Self::Chat => "/v1/chat/completions",
        }
    }
}

/// Writes request bodies.
#[derive(Debug)]
pub(crate) struct BodyWriter {
    models: Vec<String>,
    tail: String,
}

impl BodyWriter {
    /// `extra` is the inside of a JSON object (no braces), or empty.
    pub(crate) fn new(models: &[String], stream: bool, ignore_eos: bool, extra: &str) -> Self {
        let mut tail = format!(r#","stream":{stream}"#);
        if stream {
            tail.push_str(r#","stream_options":{"include_usage":true}"#);
        }
        if ignore_eos {
            tail.push_str(r#","ignore_eos":true"#);
        }
        if !extra.is_empty() {
            let _ = write!(tail, ",{extra}");
        }
        tail.push('}');
        let models = models.iter().map(|name| serde_json::Value::from(name.as_str()).to_string()).collect();
        Self { models, tail }
    }

    /// The body of one request.
    pub(crate) fn write(&self, model: usize, content: &Content, output_tokens: u32) -> Bytes {
        let model = &self.models[model];
        let (open, text, close) = match content {
            Content::Prompt(text) => (r#","prompt":""#, text, '"'),
            Content::Messages(text) => (r#","messages":["#, text, ']'),
        };
        let mut body = String::with_capacity(text.len() + model.len() + self.tail.len() + 64);
        body.push_str(r#"{"model":"#);
        body.push_str(model);
        body.push_str(open);
        body.push_str(text);
        body.push(close);
        let _ = write!(body, r#","max_tokens":{output_tokens}"#);
        body.push_str(&self.tail);
        Bytes::from(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_with_every_asked_field() {
        let writer = BodyWriter::new(&["a\"b".into()], true, true, r#""temperature":1.0"#);
        let body = writer.write(0, &Content::Prompt("hi \\n".into()), 7);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["model"], "a\"b");
        assert_eq!(value["prompt"], "hi \n");
        assert_eq!(value["max_tokens"], 7);
        assert_eq!(value["stream_options"]["include_usage"], true);
        assert_eq!(value["ignore_eos"], true);
        assert_eq!(value["temperature"], 1.0);
    }

    #[test]
    fn plain_bodies_carry_no_stream_options() {
        let writer = BodyWriter::new(&["m".into()], false, false, "");
        let body = writer.write(0, &Content::Messages(r#"{"role":"user","content":"x"}"#.into()), 1);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["messages"][0]["content"], "x");
        assert_eq!(value["stream"], false);
        assert!(value.get("stream_options").is_none() && value.get("ignore_eos").is_none());
    }
}
