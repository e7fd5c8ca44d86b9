use super::*;
use crate::lengths::Side;
use std::collections::HashSet;

fn law(text: &str) -> LengthLaw {
    LengthLaw::parse(text, Side::Input).unwrap()
}

fn sharegpt(seed: u64) -> PromptSource {
    let prompts = Prompts::Law { input: LengthLaw::ShareGptInput, output: LengthLaw::ShareGptOutput };
    PromptSource::new(prompts, Api::Completions, seed, vec![0.4, 0.3, 0.3])
}

fn grouped() -> PromptSource {
    let groups =
        Groups { groups: 7, prompts: 5, system: law("64"), question: law("8"), output: law("uniform:2,9") };
    PromptSource::new(Prompts::Groups(groups), Api::Completions, 3, vec![1.0])
}

fn text(drawn: &Drawn) -> &str {
    match &drawn.content {
        Content::Prompt(text) | Content::Messages(text) => text,
    }
}

#[test]
fn the_same_seed_draws_the_same_requests_in_any_order() {
    let (one, two) = (sharegpt(9), sharegpt(9));
    let forward: Vec<Drawn> = (0..50).map(|i| one.draw(i, &law("1"))).collect();
    let backward: Vec<Drawn> = (0..50).rev().map(|i| two.draw(i, &law("1"))).collect();
    assert!(forward.iter().eq(backward.iter().rev()));
    assert_ne!(forward[0], sharegpt(10).draw(0, &law("1")));
}

#[test]
fn texts_have_their_exact_length_and_share_no_prefix() {
    let source = sharegpt(1);
    let mut starts = HashSet::new();
    for index in 0..2000 {
        let drawn = source.draw(index, &law("1"));
        assert_eq!(text(&drawn).len(), drawn.input_tokens as usize * TOKEN_BYTES);
        starts.insert(text(&drawn).chars().take(16).collect::<String>());
    }
    assert_eq!(starts.len(), 2000);
}

#[test]
fn models_are_drawn_by_their_weights() {
    let source = sharegpt(1);
    let mut counts = [0u32; 3];
    (0..20_000).for_each(|i| counts[source.draw(i, &law("1")).model] += 1);
    for (count, share) in counts.iter().zip([0.4, 0.3, 0.3]) {
        assert!((f64::from(*count) / 20_000.0 - share).abs() < 0.015, "{counts:?}");
    }
}

#[test]
fn a_pass_over_groups_holds_every_prompt_once() {
    let source = grouped();
    for pass in 0..3 {
        let drawn: Vec<Drawn> = (pass * 35..(pass + 1) * 35).map(|i| source.draw(i, &law("1"))).collect();
        let texts: HashSet<&str> = drawn.iter().map(text).collect();
        assert_eq!(texts.len(), 35);
        for group in 0..7 {
            let members: Vec<&Drawn> = drawn.iter().filter(|d| d.group == Some(group)).collect();
            assert_eq!(members.len(), 5);
            assert!(members.iter().all(|d| text(d)[..256] == text(members[0])[..256]));
        }
    }
}

#[test]
fn groups_are_interleaved() {
    let source = grouped();
    let order: Vec<_> = (0..35).map(|i| source.draw(i, &law("1")).group).collect();
    assert!(!order.is_sorted());
}

#[test]
fn the_shuffle_is_a_permutation_for_any_size() {
    for len in [1, 2, 3, 16, 17, 800, 1025] {
        let places: HashSet<u64> = (0..len).map(|i| shuffled(i, len, 5, 0)).collect();
        assert_eq!(places.len() as u64, len);
    }
}

#[test]
fn chat_prompts_are_messages() {
    let Content::Messages(inside) = single(Api::Chat, "sys ", "ask ") else { panic!("not messages") };
    let value: serde_json::Value = serde_json::from_str(&format!("[{inside}]")).unwrap();
    assert_eq!(value[0]["role"], "system");
    assert_eq!(value[1]["content"], "ask ");
}

#[test]
fn file_lines_are_read_and_wrong_ones_refused() {
    let line = Line::parse(r#"{"prompt":"a \"b\"","output_tokens":3,"id":9}"#, Api::Completions).unwrap();
    assert_eq!(line.content, Content::Prompt(r#"a \"b\""#.into()));
    assert_eq!((line.input_tokens, line.output_tokens), (2, Some(3)));
    assert!(Line::parse(r#"{"messages":[{"role":"user","content":"x"}]}"#, Api::Chat).is_ok());
    for wrong in [
        "{}",
        "[]",
        r#"{"prompt":"a","messages":[]}"#,
        r#"{"messages":[]}"#,
        r#"{"prompt":4}"#,
        r#"{"prompt":"a","output_tokens":0}"#,
    ] {
        assert!(Line::parse(wrong, Api::Chat).is_err(), "{wrong}");
    }
    assert!(Line::parse(r#"{"messages":[{}]}"#, Api::Completions).is_err());
}
