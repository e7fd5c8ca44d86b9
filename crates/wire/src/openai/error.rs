//! The OpenAI error object, as we answer with it.
//!
//! Last stage of a refused request. The words come from the outcome table of `core`; this only writes them.

use bytes::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// `{"error":{"message":…,"type":…,"param":…,"code":…}}`. `kind` and `code` are those of the outcome table;
/// `param` names the offending member of the request, where there is one.
pub fn error_body(message: &str, kind: &str, code: &str, param: Option<&str>) -> Bytes {
    let envelope = Envelope { error: Error { message, r#type: kind, param, code } };
    serde_json::to_vec(&envelope).expect("strings always serialise").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_json_must_escape() {
        let body = error_body("say \"hi\"\n\u{1}", "invalid_request_error", "bad_request", Some("model"));
        assert_eq!(
            body,
            "{\"error\":{\"message\":\"say \\\"hi\\\"\\n\\u0001\",\"type\":\"invalid_request_error\",\
             \"param\":\"model\",\"code\":\"bad_request\"}}"
        );
    }

    #[test]
    fn a_missing_param_is_null() {
        let body = error_body("no", "t", "c", None);
        assert_eq!(body, "{\"error\":{\"message\":\"no\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}");
    }
}
