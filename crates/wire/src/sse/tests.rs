use super::*;

const USAGE: &str = include_str!("../../tests/fixtures/chat-stream-usage.http");
const LORA: &str = include_str!("../../tests/fixtures/chat-stream-lora.http");

fn body(capture: &str) -> &str {
    let (_, body) = capture.split_once("\r\n\r\n").or_else(|| capture.split_once("\n\n")).unwrap();
    body
}

/// What a scanner says of `chunks`.
fn seen<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (u64, u64, bool, Option<Usage>) {
    let mut scanner = EventScanner::new();
    for chunk in chunks {
        scanner.feed(chunk);
    }
    (scanner.events(), scanner.token_events(), scanner.done(), scanner.usage())
}

fn usage(prompt: u32, output: u32) -> Option<Usage> {
    Some(Usage { prompt_tokens: Some(prompt), cached_tokens: None, output_tokens: Some(output) })
}

#[test]
fn reads_real_streams() {
    // The first event announces the role, the last one brings the usage.
    assert_eq!(seen([body(USAGE).as_bytes()]), (8, 6, true, usage(24, 6)));
    assert_eq!(seen([body(LORA).as_bytes()]), (7, 6, true, None));
}

#[test]
fn it_does_not_matter_where_chunks_are_cut() {
    for text in [body(USAGE), &body(USAGE).replace('\n', "\r\n"), &body(USAGE).replace('\n', "\r")] {
        let stream = text.as_bytes();
        let expected = (8, 6, true, usage(24, 6));
        for at in 0..=stream.len() {
            let (start, end) = stream.split_at(at);
            assert_eq!(seen([start, end]), expected, "cut at {at}");
        }
        for size in 1..9 {
            assert_eq!(seen(stream.chunks(size)), expected, "chunks of {size}");
        }
    }
}

#[test]
fn output_is_told_from_the_rest() {
    for (data, output) in [
        (r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#, true),
        (r#"{"choices": [ {"delta":{"content":""}}]}"#, true),
        (r#"{"choices":[{"index":0,"text":"a"}]}"#, true),
        (r#"{"choices":[{"delta":{"role":"assistant","content":"a"}}]}"#, true),
        (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, false),
        (r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#, false),
        (r#"{"choices": [ ],"usage":{"prompt_tokens":1}}"#, false),
        (r#"{"type":"content_block_delta","delta":{"text":"a"}}"#, true),
        (r#"{"type":"message_start","message":{}}"#, false),
        (r#"{"type": "message_delta","delta":{}}"#, false),
        (r#"{"type":"ping"}"#, false),
        (r#"{"type":"response.output_text.delta","delta":"a"}"#, true),
        (r#"{"type":"response.created"}"#, false),
        (r#"{"error":{"message":"no","type":"BadRequestError"}}"#, false),
        (r#"{"error":{"message":"no"}}"#, false),
        (r#"{"text":"a"}"#, true),
    ] {
        let stream = format!("data: {data}\n\n");
        let (events, tokens, _, _) = seen([stream.as_bytes()]);
        assert_eq!((events, tokens), (1, u64::from(output)), "{data}");
    }
}

#[test]
fn an_event_is_counted_once_and_comments_never() {
    let stream =
        b": ping\n\nevent: x\ndata:{\"text\":1}\ndata:{\"text\":2}\nid: 7\n\nretry: 5\n\ndata: [DONE]\n\n";
    assert_eq!(seen([&stream[..]]), (1, 1, true, None));
    // An event that is cut does not count.
    assert_eq!(seen([&b"data: {\"text\":1}"[..]]), (0, 0, false, None));
}

#[test]
fn usage_is_gathered_over_events() {
    let stream = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":\
        {\"input_tokens\":25,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\n\
        data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n";
    let expected = Usage { prompt_tokens: Some(30), cached_tokens: Some(5), output_tokens: Some(15) };
    assert_eq!(seen([&stream[..]]).3, Some(expected));
}

#[test]
fn memory_is_bounded_and_a_long_event_still_gives_its_usage() {
    let long = "x".repeat(1 << 20);
    let stream = format!(
        "data: {{\"type\":\"response.completed\",\"text\":\"{long}\",\"usage\":{{\"input_tokens\":3,\"output_tokens\":4}}}}\n\n"
    );
    for size in [1 << 21, 100_000, 9000, 8192, 1000, 7] {
        let mut scanner = EventScanner::new();
        for chunk in stream.as_bytes().chunks(size) {
            scanner.feed(chunk);
            assert!(scanner.line.head.len() <= HEAD_BYTES && scanner.line.tail.len() <= 2 * TAIL_BYTES);
        }
        assert_eq!((scanner.events(), scanner.tokens_seen(), scanner.usage()), (1, false, usage(3, 4)));
    }
}
