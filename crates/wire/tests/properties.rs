//! The scanners against slow, obvious models of themselves, on random input.

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use roadstead_wire::metrics::{Wanted, scan};
use roadstead_wire::openai::{Api, BodyErrorKind, block_hashes, hash_seed, scan_request, usage_of};
use roadstead_wire::sse::EventScanner;
use serde_json::{Map, Value, json};

/// Any JSON value, a few levels deep.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        any::<String>().prop_map(Value::from),
        "[\"\\\\\n\u{0}a-z,:{}\\[\\]]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            hash_map(any::<String>(), inner, 0..8).prop_map(Value::from_iter),
        ]
    })
}

/// An object whose members are often those that the scanner looks for.
fn request() -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof![
        3 => select(vec![
            "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "best_of",
            "messages", "tools", "prompt", "cache_salt",
        ])
        .prop_map(String::from),
        1 => any::<String>(),
    ];
    let member = prop_oneof![
        value(),
        any::<u32>().prop_map(Value::from),
        any::<bool>().prop_map(|include| json!({"x": 1, "include_usage": include})),
    ];
    hash_map(key, member, 0..12).prop_map(Map::from_iter)
}

fn numbers<'a>(request: &'a Map<String, Value>, names: &'a [&str]) -> impl Iterator<Item = u32> + 'a {
    let whole = |value: &Value| {
        let digits = value.to_string();
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    names.iter().filter_map(move |name| request.get(*name).and_then(whole))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_sees_what_a_tree_holds(request in request(), pretty: bool) {
        let body = match pretty {
            true => serde_json::to_string_pretty(&request).unwrap(),
            false => serde_json::to_string(&request).unwrap(),
        };
        let model = request.get("model").unwrap_or(&Value::Null);
        let view = match scan_request(Api::ChatCompletions, body.as_bytes()) {
            Ok(view) => view,
            Err(error) => {
                prop_assert_eq!(error.kind, BodyErrorKind::ModelNotString);
                prop_assert!(!model.is_string() && !model.is_null());
                return Ok(());
            }
        };
        prop_assert_eq!(view.model.as_deref(), model.as_str());
        prop_assert_eq!(view.stream, request.get("stream") == Some(&Value::Bool(true)));
        let include = request.get("stream_options").and_then(|options| options.get("include_usage"));
        prop_assert_eq!(view.include_usage, include == Some(&Value::Bool(true)));
        let limit = numbers(&request, &["max_tokens", "max_completion_tokens"]).min();
        prop_assert_eq!(view.output_tokens_max, limit);
        let sequences = numbers(&request, &["n", "best_of"]).max().unwrap_or(1).max(1);
        prop_assert_eq!(view.sequences, sequences);
        prop_assert_eq!(view.cache_salt.as_deref(), request.get("cache_salt").and_then(Value::as_str));
        for (part, name) in view.prompt.parts().iter().zip(["tools", "messages"]) {
            let value = request.get(name).unwrap_or(&Value::Null);
            prop_assert_eq!(part.is_empty(), value.is_null());
            if name == "tools" && !value.is_null() {
                prop_assert_eq!(&serde_json::from_slice::<Value>(part).unwrap(), value);
            }
        }
    }

    #[test]
    fn a_broken_body_is_refused_exactly_when_it_is_no_json(
        request in request(), at: Index, byte: u8, cut: bool,
    ) {
        let mut body = serde_json::to_vec(&request).unwrap();
        let at = at.index(body.len());
        match cut {
            true => body.truncate(at),
            false => body[at] = byte,
        }
        let tree = serde_json::from_slice::<serde::de::IgnoredAny>(&body);
        match scan_request(Api::Completions, &body) {
            Ok(_) => {
 let opens = body.trim_ascii_start()[0] == b'{';
 prop_assert!(tree.is_ok() && opens);
}
            Err(error) => {
                prop_assert!(error.offset <= body.len());
                match error.kind {
                    BodyErrorKind::ModelNotString | BodyErrorKind::NotAnObject => prop_assert!(tree.is_ok()),
                    BodyErrorKind::InvalidUtf8 => prop_assert!(std::str::from_utf8(&body).is_err()),
                    _ => prop_assert!(tree.is_err(), "{}", error),
                }
                if cut {
                    let early = [BodyErrorKind::Truncated, BodyErrorKind::Empty, BodyErrorKind::InvalidUtf8];
                    prop_assert!(early.contains(&error.kind), "{}", error);
                }
            }
        }
    }

    #[test]
    fn a_chat_that_grows_keeps_its_full_blocks(
        messages in vec(value(), 1..8), tools in value(), block_bytes in 1usize..100,
    ) {
        let mut earlier: Vec<u64> = Vec::new();
        for turns in 1..=messages.len() {
            let body = json!({"model": "m", "tools": tools, "messages": messages[..turns]}).to_string();
            let view = scan_request(Api::ChatCompletions, body.as_bytes()).unwrap();
            let hashes = block_hashes(&view, hash_seed("m", None), block_bytes, usize::MAX);
            prop_assert_eq!(hashes.len(), view.prompt.bytes() / block_bytes);
            prop_assert!(hashes.starts_with(&earlier));
            let other = block_hashes(&view, hash_seed("other", None), block_bytes, usize::MAX);
            prop_assert!(hashes.iter().zip(&other).all(|(a, b)| a != b));
            earlier = hashes;
        }
    }

    #[test]
    fn usage_is_found_behind_anything(before in value(), prompt: u32, output: u32) {
        let answer = json!({"a": before, "usage": {"prompt_tokens": prompt, "completion_tokens": output}});
        let usage = usage_of(answer.to_string().as_bytes()).unwrap();
        prop_assert_eq!((usage.prompt_tokens, usage.output_tokens), (Some(prompt), Some(output)));
    }

    #[test]
    fn streams_look_the_same_however_they_are_cut(
        events in vec((value(), select(vec!["\n", "\r\n", "\r"])), 0..8), cuts in vec(any::<Index>(), 0..8),
    ) {
        let stream: String =
            events.iter().map(|(event, end)| format!("data: {event}{end}{end}")).collect();
        let mut whole = EventScanner::new();
        whole.feed(stream.as_bytes());
        prop_assert_eq!(whole.events(), events.len() as u64);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut pieces = EventScanner::new();
        for cut in cuts.windows(2) {
            pieces.feed(&stream.as_bytes()[cut[0]..cut[1]]);
        }
        prop_assert_eq!(
            (pieces.events(), pieces.token_events(), pieces.done(), pieces.usage()),
            (whole.events(), whole.token_events(), whole.done(), whole.usage())
        );
    }

    #[test]
    fn a_metrics_page_reads_as_line_by_line(
        lines in vec((select(vec!["vllm:a", "vllm:ab", "vllm:b", "x", "# HELP vllm:a"]), any::<f64>(), label()), 0..60),
    ) {
        let wanted = Wanted::new([("vllm:a", 7), ("vllm:b", 8)]);
        let page: String =
            lines.iter().map(|(name, value, (raw, _))| format!("{name}{raw} {value}\n")).collect();
        let mut expected = Vec::new();
        for (name, value, (_, label)) in &lines {
            let slot = match *name {
                "vllm:a" => 7,
                "vllm:b" => 8,
                _ => continue,
            };
            expected.push((slot, value.to_bits(), label.clone()));
        }
        let mut found = Vec::new();
        let scanned = scan(page.as_bytes(), &wanted, |sample| {
            found.push((sample.slot, sample.value.to_bits(), sample.labels.get("a").map(String::from)));
        });
        prop_assert_eq!(scanned.bad_lines, 0);
        prop_assert_eq!(found, expected);
    }
}

/// A label block as it is written, and the value of its label `a`.
fn label() -> impl Strategy<Value = (String, Option<String>)> {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    prop_oneof![
        Just((String::new(), None)),
        Just(("{}".to_owned(), None)),
        "[a-z\"\\\\\n{}, =]{0,12}".prop_map(move |value| {
            (format!("{{le=\"+Inf\",a=\"{}\",z=\"\"}}", escape(&value)), Some(value))
        }),
    ]
}
