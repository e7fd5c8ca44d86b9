//! Load reports in response headers: no value panics, and what is written can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_wire::orca::{self, Format};

fuzz_target!(|value: &[u8]| {
    if let Some(state) = orca::parse(value) {
        for format in [Format::Json, Format::Text] {
            assert!(
                orca::parse(orca::write(&state, format).as_bytes()).is_some(),
                "written, not read: {state:?}"
            );
        }
    }
});
