use super::*;

fn scan(api: Api, body: &str) -> RequestView<'_> {
    scan_request(api, body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn refused(body: &[u8]) -> (BodyErrorKind, usize) {
    let error = scan_request(Api::ChatCompletions, body).unwrap_err();
    (error.kind, error.offset)
}

#[test]
fn reads_the_members_of_a_chat() {
    let body = r#" {"model": "llama", "messages":[{"role":"user","content":"hi"}], "stream":true,
        "stream_options":{"x":[1],"include_usage":true}, "max_tokens":100, "max_completion_tokens": 50,
        "n":3, "cache_salt":"a\u0062", "temperature":0.5 } "#;
    let view = scan(Api::ChatCompletions, body);
    assert_eq!(view.model.as_deref(), Some("llama"));
    assert_eq!(&body[view.model_span.clone().unwrap()], "\"llama\"");
    assert!(view.stream && view.include_usage);
    assert_eq!(view.output_tokens_max, Some(50));
    assert_eq!(view.sequences, 3);
    assert_eq!(view.cache_salt.as_deref(), Some("ab"));
    assert_eq!(view.prompt.parts()[1], br#"[{"role":"user","content":"hi"}"#);
}

#[test]
fn what_is_absent_has_its_default() {
    let view = scan(Api::Completions, "{}");
    assert_eq!((&view.model, &view.model_span, &view.cache_salt), (&None, &None, &None));
    assert!(!view.stream && !view.include_usage);
    assert_eq!((view.output_tokens_max, view.sequences), (None, 1));
    assert_eq!(view.prompt.bytes(), 0);
}

#[test]
fn members_of_other_types_are_passed_over() {
    let body = r#"{"model":null,"stream":"yes","stream_options":[],"max_tokens":-1,"n":"2","cache_salt":7}"#;
    let view = scan(Api::ChatCompletions, body);
    assert_eq!((view.model, view.model_span, view.cache_salt), (None, None, None));
    assert!(!view.stream && !view.include_usage);
    assert_eq!((view.output_tokens_max, view.sequences), (None, 1));
}

#[test]
fn the_last_of_duplicate_members_counts() {
    let body = r#"{"model":"a","stream":true,"model":"b","stream":false,"mod\u0065l":"c"}"#;
    let view = scan(Api::ChatCompletions, body);
    assert_eq!(view.model.as_deref(), Some("c"));
    assert_eq!(&body[view.model_span.unwrap()], "\"c\"");
    assert!(!view.stream);
    // Also where an earlier one has a type that alone would be refused.
    assert_eq!(scan(Api::ChatCompletions, r#"{"model":1,"model":"b"}"#).model.as_deref(), Some("b"));
}

#[test]
fn only_members_of_the_outermost_object_count() {
    let view = scan(Api::ChatCompletions, r#"{"metadata":{"model":"x","stream":true},"a":[{"n":9}]}"#);
    assert_eq!((view.model, view.stream, view.sequences), (None, false, 1));
}

#[test]
fn sequences_are_prompts_times_choices() {
    for (api, body, sequences) in [
        (Api::Completions, r#"{"prompt":"a","n":2,"best_of":5}"#, 5),
        (Api::Completions, r#"{"prompt":["a","b, \"c\"","d"],"n":2}"#, 6),
        (Api::Completions, r#"{"prompt":[[1,2],[3]]}"#, 2),
        (Api::Completions, r#"{"prompt":[1,2,3]}"#, 1),
        (Api::Completions, r#"{"prompt":[],"n":0}"#, 1),
        (Api::Completions, r#"{"prompt":["a","b"],"n":4294967295}"#, u32::MAX),
        (Api::Embeddings, r#"{"input":["a","b"]}"#, 0),
        (Api::Rerank, r#"{"query":"a","documents":["b"]}"#, 0),
        (Api::Messages, r#"{"messages":[]}"#, 1),
    ] {
        assert_eq!(scan(api, body).sequences, sequences, "{body}");
    }
}

#[test]
fn token_limits_of_every_api_are_known() {
    for (body, limit) in [
        (r#"{"max_tokens":7}"#, Some(7)),
        (r#"{"max_output_tokens":8}"#, Some(8)),
        (r#"{"max_tokens":null,"max_completion_tokens":9}"#, Some(9)),
        (r#"{"max_tokens":99999999999}"#, Some(u32::MAX)),
        (r#"{"max_tokens":1.5}"#, None),
    ] {
        assert_eq!(scan(Api::Responses, body).output_tokens_max, limit, "{body}");
    }
}

#[test]
fn what_is_no_request_is_refused_with_its_place() {
    use BodyErrorKind as K;
    for (body, error) in [
        (&b""[..], (K::Empty, 0)),
        (b" \n ", (K::Empty, 3)),
        (b" [1]", (K::NotAnObject, 1)),
        (b"\"text\"", (K::NotAnObject, 0)),
        (b"null", (K::NotAnObject, 0)),
        (b"nonsense", (K::Expected("a value"), 0)),
        (b"model=llama&stream=true", (K::Expected("a value"), 0)),
        (b"{\"model\":5}", (K::ModelNotString, 9)),
        (b"{\"model\":[\"a\"]}", (K::ModelNotString, 9)),
        (b"{\"model\":\"\\ud800\"}", (K::ModelNotString, 9)),
        (b"{\"model\":\"a\",\"messages\":[{\"ro", (K::Truncated, 29)),
        (b"{\"model\":\"a\"}}", (K::TrailingData, 13)),
        (b"{\"model\":\"\xff\"}", (K::InvalidUtf8, 10)),
        (b"{\"model\":\"a\",}", (K::Expected("a string as key"), 13)),
        (b"{'model':'a'}", (K::Expected("a string as key"), 1)),
        (b"{\"model\":\"a\nb\"}", (K::ControlCharacter, 11)),
        (b"{\"temperature\":NaN}", (K::Expected("a value"), 15)),
    ] {
        assert_eq!(refused(body), error, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let body = format!("{{\"messages\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(refused(body.as_bytes()), (BodyErrorKind::TooDeep, 12 + 127));
    let deepest = format!("{{\"messages\":{}{}}}", "[".repeat(127), "]".repeat(127));
    assert!(scan_request(Api::ChatCompletions, deepest.as_bytes()).is_ok());
}

#[test]
fn errors_read_well() {
    let error = scan_request(Api::ChatCompletions, b"{\"model\":5}").unwrap_err();
    assert_eq!(error.to_string(), "`model` must be a string at byte 9");
    let error = scan_request(Api::ChatCompletions, b"{\"a\" 5}").unwrap_err();
    assert_eq!(error.to_string(), "expected ':' at byte 5");
}
