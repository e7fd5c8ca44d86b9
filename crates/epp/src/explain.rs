//! The reasons of a pick as one header value.
//!
//! Text for people: `policy=…; chosen=…`, then one part per endpoint. ASCII, of bounded length; what does not
//! fit is counted. Must not know how the reasons came about.

use std::fmt::Write;

use http::HeaderValue;
use roadstead_picker::{CandidateWhy, Why};

/// Longest value, in bytes.
pub const EXPLAIN_BYTES_MAX: usize = 4096;
/// Kept free for the count of endpoints that did not fit.
const MORE_BYTES: usize = 24;

/// Longest endpoint name that is written, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Writes `why`.
pub fn header_value(why: &Why) -> HeaderValue {
    let chosen = why.candidates.iter().find(|candidate| candidate.endpoint == why.chosen);
    let chosen_name = chosen.map_or_else(|| "?".to_owned(), |chosen| visible(&chosen.name));
    let mut text = format!("policy={}; chosen={chosen_name}", why.policy);
    // The chosen one first, so that it is there however many follow.
    let others = why.candidates.iter().filter(|candidate| candidate.endpoint != why.chosen);
    for (written, candidate) in chosen.into_iter().chain(others).enumerate() {
        let part = part(candidate);
        if text.len() + part.len() + MORE_BYTES > EXPLAIN_BYTES_MAX {
            let more = why.candidates.len() - written;
            let _ = write!(text, "; more={more}"); // writing to a String cannot fail
            break;
        }
        text.push_str(&part);
    }
    HeaderValue::try_from(text).expect("made of visible ASCII")
}

fn part(candidate: &CandidateWhy) -> String {
    let mut part = format!("; {}:", visible(&candidate.name));
    let _ = match candidate.dropped_by {
        Some(reason) => write!(part, " dropped_by={reason}"),
        None => write!(
            part,
            " ttft={:.4} tpot={:.5} hit={}",
            candidate.ttft_s, candidate.tpot_s, candidate.hit_tokens
        ),
    };
    for (scorer, score) in &candidate.scores {
        let _ = write!(part, " {scorer}={score:.3}");
    }
    part
}

/// A name as visible ASCII, one character for each of its own.
fn visible(name: &str) -> String {
    let visible = |char: char| if matches!(char, ' '..='~') { char } else { '?' };
    name.chars().take(NAME_BYTES_MAX).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roadstead_core::EndpointId;

    use super::*;

    fn candidate(id: u32, name: &str) -> CandidateWhy {
        CandidateWhy {
            endpoint: EndpointId(id),
            name: Arc::from(name),
            dropped_by: None,
            scores: vec![("queue-scorer", 0.5)],
            ttft_s: 0.12,
            tpot_s: 0.01,
            hit_tokens: 512,
        }
    }

    #[test]
    fn says_who_was_chosen_and_why_others_were_not() {
        let dropped = CandidateWhy { dropped_by: Some("draining"), scores: vec![], ..candidate(1, "b") };
        let why =
            Why {
                policy: "least-wait", chosen: EndpointId(2), candidates: vec![dropped, candidate(2, "ü")]
            };
        assert_eq!(
            header_value(&why),
            "policy=least-wait; chosen=?; ?: ttft=0.1200 tpot=0.01000 hit=512 queue-scorer=0.500; \
             b: dropped_by=draining"
        );
    }

    #[test]
    fn the_length_is_bounded_and_the_rest_is_counted() {
        let candidates: Vec<_> = (0..10_000).map(|id| candidate(id, &format!("endpoint-{id}"))).collect();
        let why = Why { policy: "p", chosen: EndpointId(9_999), candidates };
        let value = header_value(&why);
        let text = value.to_str().unwrap();
        assert!(text.len() <= EXPLAIN_BYTES_MAX);
        assert!(text.starts_with("policy=p; chosen=endpoint-9999; endpoint-9999:"), "{text}");
        let written = text.matches("endpoint-").count() - 1;
        assert!(text.ends_with(&format!("; more={}", 10_000 - written)), "{text}");
    }

    #[test]
    fn an_absurd_name_is_cut() {
        let why =
            Why { policy: "p", chosen: EndpointId(0), candidates: vec![candidate(0, &"x".repeat(10_000))] };
        assert!(header_value(&why).len() <= EXPLAIN_BYTES_MAX);
    }
}
