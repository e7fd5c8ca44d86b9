//! Usage objects: no answer panics, and what comes before a complete usage does not change it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_wire::openai::usage_of;

const LAST: &[u8] = br#","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;

fuzz_target!(|json: &[u8]| {
    let _may_find_anything = usage_of(json);
    let usage = usage_of(&[json, LAST].concat()).expect("there is one");
    assert_eq!((usage.prompt_tokens, usage.output_tokens), (Some(3), Some(4)));
});
