//! Metrics pages: no page panics, and a page gives what its lines give one by one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_wire::metrics::{Sample, Wanted, scan};

fuzz_target!(|page: &[u8]| {
    let wanted = Wanted::new([("vllm:num_requests_waiting", 0), ("vllm:num", 1), ("m", 2)]);
    let mut found = Vec::new();
    let scanned = scan(page, &wanted, |sample| found.push(seen(sample)));

    let mut one_by_one = Vec::new();
    let mut bad_lines = 0;
    for line in page.split_inclusive(|byte| *byte == b'\n') {
        bad_lines += scan(line, &wanted, |sample| one_by_one.push(seen(sample))).bad_lines;
    }
    assert_eq!(found, one_by_one);
    assert_eq!((scanned.samples, scanned.bad_lines), (found.len(), bad_lines));
});

/// Its slot, its value's bits and a label.
fn seen(sample: Sample<'_>) -> (usize, u64, Option<String>) {
    (sample.slot, sample.value.to_bits(), sample.labels.get("a").map(String::from))
}
