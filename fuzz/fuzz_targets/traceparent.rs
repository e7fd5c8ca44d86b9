//! Trace contexts: no header panics, and what is written reads back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_wire::traceparent::TraceContext;

fuzz_target!(|input: (u128, u64, &[u8])| {
    let (trace, span, header) = input;
    let next = TraceContext::next_hop(Some(header), trace, span);
    assert_eq!(TraceContext::parse(next.to_string().as_bytes()), Some(next));
    if let Some(context) = TraceContext::parse(header) {
        assert_eq!(next.trace_id, context.trace_id);
    }
});
