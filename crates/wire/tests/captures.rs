//! What real engines answer, as captured from vLLM.

use roadstead_wire::openai::{error_body, usage_of};
use serde_json::Value;

/// The body of a captured answer.
fn body(capture: &str) -> &str {
    let parts = capture.split_once("\r\n\r\n").or_else(|| capture.split_once("\n\n"));
    parts.expect("a head and a body").1
}

#[test]
fn usage_is_read_from_answers() {
    for (capture, prompt, output) in [
        (include_str!("fixtures/chat.http"), 14, 6),
        (include_str!("fixtures/completion.http"), 300, 40),
        (include_str!("fixtures/completion-orca.http"), 1, 3),
    ] {
        let usage = usage_of(body(capture).as_bytes()).unwrap();
        assert_eq!((usage.prompt_tokens, usage.output_tokens), (Some(prompt), Some(output)));
        assert_eq!(usage.cached_tokens, None);
    }
}

#[test]
fn our_errors_have_the_shape_of_an_engines() {
    for capture in [
        include_str!("fixtures/error-bad-json.http"),
        include_str!("fixtures/error-missing-messages.http"),
        include_str!("fixtures/error-too-long.http"),
        include_str!("fixtures/error-unknown-model.http"),
    ] {
        let body = body(capture);
        assert_eq!(usage_of(body.as_bytes()), None);
        let theirs: Value = serde_json::from_str(body).unwrap();
        let message = theirs["error"]["message"].as_str().unwrap();
        let ours = error_body(message, "type", "code", theirs["error"]["param"].as_str());
        let ours: Value = serde_json::from_slice(&ours).unwrap();
        let members = |error: &Value| -> Vec<String> {
            assert_eq!(error.as_object().unwrap().len(), 1);
            error["error"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(members(&ours), members(&theirs));
        assert_eq!(ours["error"]["message"], theirs["error"]["message"]);
        assert_eq!(ours["error"]["param"], theirs["error"]["param"]);
    }
}
