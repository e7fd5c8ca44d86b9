use super::*;

fn check(text: &str) -> Result<(), BodyErrorKind> {
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.skip_value().and_then(|()| cursor.end()).map_err(|error| error.kind)
}

#[test]
fn accepts_what_json_is() {
    for text in [
        "{}",
        " [ ] ",
        "[1,2 , 3]",
        "\"\"",
        "0",
        "-0",
        "-1.5e+3",
        "1E9",
        "true",
        "false",
        "null",
        r#"{"a":{"b":[{}, [], "x\n\u00e9\/"]},"c":null}"#,
        "\"\\ud800\"",
        "\"\u{7f}\"",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn refuses_what_it_is_not() {
    use BodyErrorKind as K;
    for (text, kind) in [
        ("", K::Truncated),
        ("{", K::Truncated),
        ("[1", K::Truncated),
        ("[1,", K::Truncated),
        ("{\"a\"", K::Truncated),
        ("{\"a\":", K::Truncated),
        ("\"abc", K::Truncated),
        ("\"\\", K::Truncated),
        ("\"\\u12", K::Truncated),
        ("tru", K::Truncated),
        ("-", K::Truncated),
        ("1.", K::Truncated),
        ("1e", K::Truncated),
        ("[1,]", K::Expected("a value")),
        ("{,}", K::Expected("a string as key")),
        ("{\"a\":1,}", K::Expected("a string as key")),
        ("{\"a\" 1}", K::Expected("':'")),
        ("[1 2]", K::Expected("',' or ']'")),
        ("{\"a\":1 \"b\"}", K::Expected("',' or '}'")),
        ("[}", K::Expected("a value")),
        ("{\"a\":[1}", K::Expected("',' or ']'")),
        ("01", K::TrailingData),
        ("1 1", K::TrailingData),
        ("NaN", K::Expected("a value")),
        ("nul1", K::Expected("a value")),
        ("-a", K::BadNumber),
        ("1.a", K::BadNumber),
        ("\"\\x\"", K::BadEscape),
        ("\"\\u00g0\"", K::BadEscape),
        ("\"a\nb\"", K::ControlCharacter),
        ("\"aaaaaaaaaaaaaaaaaaaaaaaa\tb\"", K::ControlCharacter),
        ("\u{feff}{}", K::Expected("a value")),
    ] {
        assert_eq!(check(text), Err(kind), "{text}");
    }
}

#[test]
fn nesting_is_bounded_exactly() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(check(&deep(NESTING_MAX as usize)), Ok(()));
    assert_eq!(check(&deep(NESTING_MAX as usize + 1)), Err(BodyErrorKind::TooDeep));
    let mixed = "{\"a\":[".repeat(64) + &"]}".repeat(64);
    assert_eq!(check(&mixed), Ok(()));
    assert_eq!(check(&format!("[{mixed}]")), Err(BodyErrorKind::TooDeep));
}

#[test]
fn errors_name_the_offending_byte() {
    for (text, offset) in [
        ("[1,x]", 3),
        ("{\"a\":1", 6),
        ("\"a\u{1}\"", 2),
        ("\"aaaaaaaaaaaaaaaaaaaa\u{1}b\"", 21),
        ("[\"\\q\"]", 2),
    ] {
        let error = Cursor::new(text.as_bytes()).skip_value().unwrap_err();
        assert_eq!(error.offset, offset, "{text}");
    }
}

#[test]
fn members_and_elements_give_ranges() {
    let text = br#" { "a" : [1] , "b\u0063":"x"} "#;
    let mut found = Vec::new();
    let mut cursor = Cursor::new(text);
    cursor
        .members(|key, range| {
            found.push((String::from_utf8(key.into_owned()).unwrap(), text[range].to_vec()));
        })
        .unwrap();
    cursor.end().unwrap();
    assert_eq!(found, [("a".to_owned(), b"[1]".to_vec()), ("bc".to_owned(), b"\"x\"".to_vec())]);

    let text = b"[ 1 , {\"a\":[]},[2]]";
    let mut found = Vec::new();
    Cursor::new(text).elements(|range| found.push(std::str::from_utf8(&text[range]).unwrap())).unwrap();
    assert_eq!(found, ["1", "{\"a\":[]}", "[2]"]);
}

#[test]
fn whole_numbers_only_and_saturating() {
    assert_eq!(whole(b"16"), Some(16));
    assert_eq!(whole(b"99999999999999999999"), Some(u32::MAX));
    for other in ["", "-1", "1.5", "\"1\"", "null", "1e3"] {
        assert_eq!(whole(other.as_bytes()), None, "{other}");
    }
}
