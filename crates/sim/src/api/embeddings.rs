//! `POST /v1/embeddings`: one prefill an input, and a unit vector that follows from the input's bytes.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use roadstead_engine::{FinishReason, Prompt, salt};
use serde::Deserialize;

use super::error::{Kind, field_count, parse};
use super::fields::Prompts;
use super::generate::check_prompt;
use super::{ApiError, Reply, json, quoted, request_id};
use crate::driver::{Order, SubmitError};
use crate::server::Sim;
use crate::text;

/// Length of a vector where the request does not say.
const DEFAULT_DIMENSIONS: u32 = 256;
const DIMENSIONS_MAX: u32 = 8192;
/// Inputs of one request.
const INPUTS_MAX: usize = 2048;
const FIELDS: &[(&str, Kind)] =
    &[("model", Kind::Text), ("dimensions", Kind::Whole), ("encoding_format", Kind::Text)];

#[derive(Debug, Deserialize)]
struct EmbeddingRequest {
    model: Option<String>,
    input: Option<Prompts>,
    dimensions: Option<u32>,
    encoding_format: Option<String>,
}

/// Answers an embedding request.
pub(crate) async fn serve(sim: &Sim, head: &HeaderMap, body: &Bytes) -> Result<Reply, ApiError> {
    let request: EmbeddingRequest = parse(head, body, FIELDS)?;
    let Prompts { list: inputs, ids } =
        request.input.ok_or_else(|| ApiError::missing("input", field_count(body)))?;
    let target = sim.target(request.model.as_deref())?;
    if inputs.is_empty() || inputs.len() > INPUTS_MAX {
        return Err(ApiError::bad_request(format!(
            "between 1 and {INPUTS_MAX} inputs, got {}.",
            inputs.len()
        )));
    }
    let dimensions = request.dimensions.unwrap_or(DEFAULT_DIMENSIONS);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(ApiError::bad_parameter("dimensions out of range.", "dimensions", dimensions));
    }
    let base64 = request.encoding_format.as_deref() == Some("base64");
    let salt = salt(target.adapter.map(|_| target.name.as_str()), None);
    let mut answers = Vec::with_capacity(inputs.len());
    let mut prompt_tokens = 0;
    for input in &inputs {
        check_prompt(sim, text::count(input), ids)?;
        let prompt = Prompt::from_bytes(input, salt);
        prompt_tokens += prompt.tokens();
        answers.push(sim.driver.submit(Order {
            prompt,
            output_tokens: 0,
            finish: FinishReason::Stop,
            seed: 0,
            adapter: target.adapter,
            streamed: false,
            max_tokens: None,
            n: 1,
        })?);
    }
    let mut out = format!(
        "{{\"id\":{},\"object\":\"list\",\"created\":{},\"model\":{},\"data\":[",
        quoted(&format!("embd-{}", request_id(head))),
        sim.created(),
        quoted(&target.name)
    );
    for (index, (input, answer)) in inputs.iter().zip(&answers).enumerate() {
        answer.finished().await.map_err(|_| SubmitError::Gone)?;
        let comma = if index > 0 { "," } else { "" };
        // Writing into a String cannot fail.
        let _ = write!(out, "{comma}{{\"index\":{index},\"object\":\"embedding\",\"embedding\":");
        write_vector(&mut out, &vector(input, dimensions), base64);
        out.push('}');
    }
    let _ = write!(
        out,
        "],\"usage\":{{\"prompt_tokens\":{prompt_tokens},\"total_tokens\":{prompt_tokens},\"completion_tokens\":0,\"prompt_tokens_details\":null,\"completion_tokens_details\":null}}}}"
    );
    Ok(json(StatusCode::OK, out))
}

fn vector(input: &[u8], dimensions: u32) -> Vec<f32> {
    let seed = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut random = fastrand::Rng::with_seed(seed);
    let mut vector: Vec<f32> = (0..dimensions).map(|_| random.f32() - 0.5).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    for x in &mut vector {
        *x /= length;
    }
    vector
}

fn write_vector(out: &mut String, vector: &[f32], base64: bool) {
    if base64 {
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        out.push('"');
        write_base64(out, &bytes);
        out.push('"');
        return;
    }
    for (index, x) in vector.iter().enumerate() {
        let before = if index == 0 { '[' } else { ',' };
        // Writing into a String cannot fail.
        let _ = write!(out, "{before}{x:?}");
    }
    out.push(']');
}

/// RFC 4648 §4, with padding.
fn write_base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_the_rfc_says() {
        // RFC 4648 §10.
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut out = String::new();
            write_base64(&mut out, plain.as_bytes());
            assert_eq!(out, coded);
        }
    }

    #[test]
    fn vectors_have_length_one_and_follow_from_the_input() {
        let length = vector(b"hi", 64).iter().map(|x| x * x).sum::<f32>();
        assert!((length - 1.0).abs() < 1e-5);
        assert_eq!(vector(b"hi", 8), vector(b"hi", 8));
        assert_ne!(vector(b"hi", 8), vector(b"ho", 8));
    }
}
