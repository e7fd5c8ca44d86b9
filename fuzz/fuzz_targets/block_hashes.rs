//! Block hashes: a chat that grows keeps its full blocks, and bounds hold, whatever the messages say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_wire::openai::{Api, block_hashes, scan_request};

fuzz_target!(|input: (u8, u8, Vec<String>)| {
    let (block_bytes, blocks_max, messages) = input;
    let (block_bytes, blocks_max) = (usize::from(block_bytes), usize::from(blocks_max));
    let mut earlier = Vec::new();
    for turns in 0..=messages.len() {
        let messages = serde_json::to_string(&messages[..turns]).expect("strings serialise");
        let body = format!("{{\"messages\":{messages},\"tools\":[1]}}");
        let view = scan_request(Api::ChatCompletions, body.as_bytes()).expect("valid JSON");
        let hashes = block_hashes(&view, 7, block_bytes, blocks_max);
        let full = view.prompt.bytes().checked_div(block_bytes).unwrap_or(0);
        assert_eq!(hashes.len(), full.min(blocks_max));
        assert!(hashes.starts_with(&earlier), "turn {turns} lost a block");
        earlier = hashes;
    }
});
