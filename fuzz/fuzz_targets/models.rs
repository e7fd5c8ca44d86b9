//! Model lists: no page panics, and the union of lists is a list of all their models.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use roadstead_wire::models::{parse_models, union_models};

fuzz_target!(|pages: (&[u8], &[u8])| {
    let pages = [pages.0, pages.1];
    let lists = pages.map(|page| parse_models(page).unwrap_or_default());
    let union = parse_models(&union_models(pages)).expect("written, not read");
    let ids: HashSet<_> = union.iter().map(|card| card.id.clone()).collect();
    assert_eq!(ids.len(), union.len(), "an id is listed twice");
    assert_eq!(ids, lists.iter().flatten().map(|card| card.id.clone()).collect());
});
