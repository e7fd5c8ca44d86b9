//! Event streams: where the chunks are cut does not change what is seen.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_wire::sse::EventScanner;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (sizes, stream) = input;
    let mut whole = EventScanner::new();
    whole.feed(stream);

    let mut pieces = EventScanner::new();
    let mut rest = stream;
    for size in sizes {
        let (piece, after) = rest.split_at(rest.len().min(usize::from(size)));
        pieces.feed(piece);
        rest = after;
    }
    pieces.feed(rest);

    let seen =
        |scanner: &EventScanner| (scanner.events(), scanner.token_events(), scanner.done(), scanner.usage());
    assert_eq!(seen(&pieces), seen(&whole));
});
