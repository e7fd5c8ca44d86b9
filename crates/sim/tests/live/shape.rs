//! Compares answers with captured ones by shape: same keys in the same order, same nulls and flags, same kind of
//! value everywhere else.

/// Keys whose text must be the same, not only text.
const SAME_TEXT: &[&str] = &[
    "object",
    "type",
    "role",
    "finish_reason",
    "stop_reason",
    "status",
    "owned_by",
    "organization",
    "reason",
];

/// A captured answer: status, header names in order, body.
pub struct Captured {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Captured {
    pub fn read(file: &str) -> Captured {
        let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = text.replace('\r', "");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines.map(|line| line.split_once(": ").unwrap());
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Captured { status, fields, body: body.to_owned() }
    }

    /// The events of a stream, without their blank lines.
    pub fn events(&self) -> Vec<&str> {
        self.body.split("\n\n").filter(|event| !event.trim().is_empty()).collect()
    }
}

/// `json`, possibly after event lines, with its values replaced by their kind.
pub fn shape(json: &str) -> String {
    let bytes = json.as_bytes();
    let mut out = String::new();
    let mut key = "";
    let mut at = 0;
    while at < bytes.len() {
        let rest = &json[at..];
        match bytes[at] {
            b'"' => {
                let text = &rest[1..string_end(rest)];
                at += text.len() + 2;
                if bytes.get(at) == Some(&b':') {
                    key = text;
                    out.push_str(text);
                } else if SAME_TEXT.contains(&key) {
                    out.push_str(text);
                } else {
                    out.push('s');
                }
            }
            b'0'..=b'9' | b'-' => {
                let length = rest
                    .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e'))
                    .unwrap_or(rest.len());
                out.push(if rest[..length].contains('.') { 'f' } else { 'i' });
                at += length;
            }
            byte => {
                out.push(char::from(byte));
                at += 1;
            }
        }
    }
    out
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return at,
            _ => escaped = false,
        }
    }
    text.len()
}

#[test]
fn a_shape_keeps_keys_nulls_and_kinds() {
    let json = r#"{"id":"a\"b","object":"list","n":[1,-2.5,null,true],"":{}}"#;
    assert_eq!(shape(json), "{id:s,object:list,n:[i,f,null,true],:{}}");
}
