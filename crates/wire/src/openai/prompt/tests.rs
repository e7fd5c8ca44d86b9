use super::*;
use crate::openai::{Api, scan_request};

fn parts(api: Api, body: &str) -> Vec<String> {
    let view = scan_request(api, body.as_bytes()).unwrap();
    let parts = view.prompt.parts().iter().filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8(part.to_vec()).unwrap()).collect()
}

fn hashes(api: Api, body: &str, block_bytes: usize) -> Vec<u64> {
    let view = scan_request(api, body.as_bytes()).unwrap();
    block_hashes(&view, hash_seed("m", None), block_bytes, usize::MAX)
}

#[test]
fn parts_come_in_cache_order_and_the_last_one_is_open() {
    for (api, body, expected) in [
        (Api::ChatCompletions, r#"{"messages":[{"a":1} ] ,"tools":[{}]}"#, vec!["[{}]", r#"[{"a":1}"#]),
        (Api::ChatCompletions, r#"{"messages":[],"tools":null}"#, vec!["["]),
        (Api::Completions, r#"{"prompt":"say \"hi\" "}"#, vec![r#""say \"hi\" "#]),
        (Api::Completions, r#"{"prompt":""}"#, vec!["\""]),
        (Api::Completions, r#"{"prompt":["a","b"]}"#, vec![r#"["a","b""#]),
        (
            Api::Responses,
            r#"{"input":[{}],"tools":[],"instructions":"be kind"}"#,
            vec![r#""be kind""#, "[]", "[{}"],
        ),
        (
            Api::Messages,
            r#"{"system":"be kind","messages":[{}],"tools":[1]}"#,
            vec!["[1]", r#""be kind""#, "[{}"],
        ),
        (Api::Embeddings, r#"{"input":"x"}"#, vec!["\"x"]),
        (Api::Rerank, r#"{"documents":["d"],"query":"q"}"#, vec![r#""q""#, r#"["d""#]),
        (Api::Score, r#"{"text_1":"a","text_2":["b"]}"#, vec![r#""a""#, r#"["b""#]),
        (Api::Other, r#"{"prompt":"x","messages":[]}"#, vec![]),
    ] {
        assert_eq!(parts(api, body), expected, "{body}");
    }
}

#[test]
fn tokens_are_counted_where_they_are_sent_and_else_estimated() {
    for (body, tokens) in [
        (r#"{"prompt":[1, 2,3]}"#, 3),
        (r#"{"prompt":[[1,2],[3,4,5]]}"#, 5),
        (r#"{"prompt":"12345678901"}"#, 3),
        (r#"{"prompt":["1,2,3","4"]}"#, 3),
        (r#"{}"#, 0),
    ] {
        let view = scan_request(Api::Completions, body.as_bytes()).unwrap();
        assert_eq!(prompt_tokens(&view), tokens, "{body}");
    }
    assert_eq!((estimate_tokens(0), estimate_tokens(1), estimate_tokens(8)), (0, 1, 2));
}

#[test]
fn a_longer_chat_keeps_all_full_blocks() {
    let turn = |n: usize| format!(r#"{{"role":"user","content":"message number {n}, with some words"}}"#);
    let chat = |turns: usize| {
        let messages: Vec<_> = (0..turns).map(turn).collect();
        format!(r#"{{"model":"m","messages":[{}],"stream":true}}"#, messages.join(","))
    };
    for block_bytes in [1, 16, 64, 100] {
        for turns in 2..6 {
            let shorter = hashes(Api::ChatCompletions, &chat(turns), block_bytes);
            let longer = hashes(Api::ChatCompletions, &chat(turns + 1), block_bytes);
            assert!(!shorter.is_empty() && longer.len() >= shorter.len());
            assert_eq!(longer[..shorter.len()], shorter);
        }
    }
}

#[test]
fn blocks_run_across_parts() {
    let tools = "x".repeat(90);
    let body = format!(r#"{{"tools":"{tools}","messages":["{}"]}}"#, "y".repeat(90));
    let view = scan_request(Api::ChatCompletions, body.as_bytes()).unwrap();
    let text = view.prompt.parts().concat();
    for block_bytes in [1, 7, 64, 91, 92, 93, 184, 185, 1000] {
        let mut last = 5u64;
        let naive: Vec<_> = text
            .chunks_exact(block_bytes)
            .map(|block| {
                last = xxh3_64(&[last.to_le_bytes(), xxh3_64(block).to_le_bytes()].concat());
                last
            })
            .collect();
        assert_eq!(block_hashes(&view, 5, block_bytes, usize::MAX), naive, "{block_bytes}");
    }
}

#[test]
fn a_change_shows_from_its_block_on() {
    let text = "0123456789abcdef".repeat(8);
    let one = hashes(Api::Completions, &format!(r#"{{"prompt":"{text}"}}"#), 16);
    let mut changed = text.into_bytes();
    changed[40] = b'X';
    let changed = String::from_utf8(changed).unwrap();
    let other = hashes(Api::Completions, &format!(r#"{{"prompt":"{changed}"}}"#), 16);
    assert_eq!(one.len(), other.len());
    assert_eq!(one[..2], other[..2]);
    assert!(one[2..].iter().zip(&other[2..]).all(|(a, b)| a != b));
}

#[test]
fn model_and_salt_keep_prompts_apart() {
    let seeds = [
        hash_seed("a", None),
        hash_seed("b", None),
        hash_seed("a", Some("b")),
        hash_seed("b", Some("a")),
        hash_seed("", Some("ab")),
    ];
    for (index, seed) in seeds.iter().enumerate() {
        assert!(!seeds[index + 1..].contains(seed));
    }
    let view = scan_request(Api::Completions, br#"{"prompt":"0123456789"}"#).unwrap();
    assert_ne!(block_hashes(&view, seeds[0], 4, 9), block_hashes(&view, seeds[1], 4, 9));
}

#[test]
fn token_ids_and_text_of_the_same_bytes_differ() {
    let ids = hashes(Api::Completions, r#"{"prompt":[1,2,3,4,5,6]}"#, 4);
    let text = hashes(Api::Completions, r#"{"prompt":"1,2,3,4,5,6"}"#, 4);
    assert_ne!(ids[0], text[0]);
}

#[test]
fn the_number_of_blocks_is_bounded() {
    let view = scan_request(Api::Completions, br#"{"prompt":"0123456789"}"#).unwrap();
    assert_eq!(block_hashes(&view, 0, 1, 3).len(), 3);
    assert!(block_hashes(&view, 0, 1, 0).is_empty());
    assert!(block_hashes(&view, 0, 0, 3).is_empty());
    assert!(block_hashes(&view, 0, 12, 3).is_empty());
}
