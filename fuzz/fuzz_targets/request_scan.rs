//! Request bodies: the scanner never panics, agrees with serde_json on what is JSON, and its view lies in the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_wire::openai::{Api, BodyErrorKind, scan_request};
use serde::de::IgnoredAny;

fuzz_target!(|input: (u8, &[u8])| {
    let (api, body) = input;
    let api = Api::ALL[usize::from(api) % Api::ALL.len()];
    let valid = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    match scan_request(api, body) {
        Ok(view) => {
            assert!(valid, "accepted what is no JSON");
            let parts = view.prompt.parts();
            assert!(parts.iter().all(|part| part.is_empty() || body.as_ptr_range().contains(&part.as_ptr())));
            assert!(view.prompt.bytes() <= body.len());
            if let Some(span) = view.model_span {
                let model: String = serde_json::from_slice(&body[span]).expect("the span holds a string");
                assert_eq!(Some(model.as_str()), view.model.as_deref());
            }
        }
        Err(error) => {
            assert!(error.offset <= body.len());
            match error.kind {
                BodyErrorKind::NotAnObject | BodyErrorKind::ModelNotString => assert!(valid),
                BodyErrorKind::TooDeep | BodyErrorKind::InvalidUtf8 => {}
                _ => assert!(!valid, "refused JSON: {error}"),
            }
        }
    }
});
