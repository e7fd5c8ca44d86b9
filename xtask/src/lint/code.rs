//! Rust code as lines, functions and test blocks: a scanner for rustfmt's output, not a parser.
//!
//! Literals and comments are blanked first, so that braces can be counted. Line numbers are indices from 0 here.
//! What it does not see: functions that a macro writes, and items whose header a macro hides.

use std::ops::Range;

/// A function from its `fn` line to its closing brace.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub lines: Range<usize>,
    pub is_public: bool,
}

/// The same text with comments and the insides of literals replaced by spaces; line breaks stay where they were.
pub fn blank(text: &str) -> String {
    let mut blanker = Blanker { rest: text, out: String::with_capacity(text.len()) };
    while !blanker.rest.is_empty() {
        blanker.step();
    }
    blanker.out
}

/// The functions of blanked code, nested ones too.
pub fn functions(code: &str) -> Vec<Function> {
    let lines: Vec<&str> = code.lines().collect();
    let function = |at: usize| {
        let (name, is_public) = function_name(lines[at])?;
        Some(Function { name: name.to_owned(), lines: at..item_end(&lines, at), is_public })
    };
    (0..lines.len()).filter_map(function).collect()
}

/// The items under `#[cfg(test)]`, attribute included.
pub fn test_blocks(code: &str) -> Vec<Range<usize>> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let inside = found.last().is_some_and(|block| block.contains(&at));
        if inside || !line.trim().starts_with("#[cfg(test)]") {
            continue;
        }
        let is_attribute = |line: &&&str| line.trim().is_empty() || line.trim().starts_with("#[");
        let item = at + lines[at..].iter().take_while(is_attribute).count();
        found.push(at..item_end(&lines, item));
    }
    found
}

/// The line after an item that begins at `start`: after its closing brace, or after its semicolon where it has no body.
fn item_end(lines: &[&str], start: usize) -> usize {
    let mut braces = 0_usize;
    let mut brackets = 0_usize;
    for (at, line) in lines.iter().enumerate().skip(start) {
        for sign in line.chars() {
            match sign {
                '{' => braces += 1,
                '}' => {
                    braces = braces.saturating_sub(1);
                    if braces == 0 {
                        return at + 1;
                    }
                }
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if braces == 0 && brackets == 0 => return at + 1,
                _ => {}
            }
        }
    }
    lines.len()
}

/// The name of the function that this line begins, and whether it is `pub`.
fn function_name(line: &str) -> Option<(&str, bool)> {
    let mut is_public = false;
    let mut words = line.split_whitespace();
    loop {
        let word = words.next()?;
        match word {
            "fn" => break,
            "pub" => is_public = true,
            "const" | "async" | "unsafe" | "extern" | "default" | "\" \"" => {}
            _ if word.starts_with("pub(") || word.starts_with('"') => {}
            _ => return None,
        }
    }
    let name = words.next()?;
    let end = name.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(name.len());
    Some((&name[..end], is_public))
}

struct Blanker<'a> {
    rest: &'a str,
    out: String,
}

impl Blanker<'_> {
    /// Takes one comment, one literal or one other character.
    fn step(&mut self) {
        let after_word =
            self.out.chars().next_back().is_some_and(|sign| sign.is_alphanumeric() || sign == '_');
        if self.rest.starts_with("//") {
            self.erase(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.erase(comment_length(self.rest));
        } else if let Some(hashes) = raw_string_hashes(self.rest).filter(|_| !after_word) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = self.rest.find('"').expect("a raw string opens with a quote") + 1;
            let end = self.rest[open..].find(&close).map_or(self.rest.len(), |at| open + at + close.len());
            self.literal(end);
        } else if self.rest.starts_with('"') {
            self.literal(string_length(self.rest));
        } else if let Some(length) = char_length(self.rest) {
            self.literal(length);
        } else {
            let length = self.rest.chars().next().map_or(0, char::len_utf8);
            self.out.push_str(&self.rest[..length]);
            self.rest = &self.rest[length..];
        }
    }

    /// Writes spaces for the next `length` bytes.
    fn erase(&mut self, length: usize) {
        let blank = |sign: char| if sign == '\n' { '\n' } else { ' ' };
        self.out.extend(self.rest[..length].chars().map(blank));
        self.rest = &self.rest[length..];
    }

    /// Erases a literal but leaves quotes at its ends, so that it still stands as one word.
    fn literal(&mut self, length: usize) {
        let text = &self.rest[..length];
        let inner: String = text.chars().filter(|sign| *sign == '\n').collect();
        self.out.push('"');
        self.out.push_str(&inner);
        self.out.push('"');
        self.rest = &self.rest[length..];
    }
}

/// The length of a block comment, nested ones included.
fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The number of `#` of a raw string that starts here.
fn raw_string_hashes(text: &str) -> Option<usize> {
    let rest =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal that starts here; a lifetime is none.
fn char_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    if first == '\\' {
        // The escaped character may itself be a quote.
        let escape = 1 + inner[1..].chars().next()?.len_utf8();
        return inner[escape..].find('\'').map(|at| 1 + escape + at + 1);
    }
    inner[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_literals_and_comments_vanish() {
        let text = "a(\"{\\\"{\"); // }\nb('{', '\\'', '\\u{7d}'); /* { /* } */ { */\nc(r#\"\"{\"#, br\"{\");\nd::<'a>('}')\n";
        let blanked = blank(text);
        assert!(!blanked.contains(['{', '}']), "{blanked}");
        assert_eq!(blanked.lines().count(), text.lines().count());
        assert!(blanked.contains("d::<'a>"));
    }

    #[test]
    fn a_string_over_several_lines_keeps_its_lines() {
        assert_eq!(blank("x(\"{\n{\")\ny").lines().count(), 3);
    }

    #[test]
    fn an_identifier_that_ends_in_r_opens_no_raw_string() {
        assert_eq!(blank("for\"{\" x"), "for\"\" x");
    }

    #[test]
    fn functions_have_their_lines_and_names() {
        let code = "pub fn a() {}\nimpl X {\n    pub(crate) async fn b(\n        x: [u8; 4],\n    ) -> Y {\n        if x {\n        }\n    }\n    fn c(&self);\n}\nfn d<T>()\nwhere\n    T: Z,\n{\n}\n";
        let seen: Vec<_> = functions(code).into_iter().map(|f| (f.name, f.lines, f.is_public)).collect();
        let expected = [("a", 0..1, true), ("b", 2..8, false), ("c", 8..9, false), ("d", 10..15, false)];
        assert_eq!(seen, expected.map(|(name, lines, is_public)| (name.to_owned(), lines, is_public)));
    }

    #[test]
    fn words_that_only_look_like_functions_are_none() {
        assert!(functions("let f: fn(u8) = g;\ntype F = fn();\nmap(fn_name);\n").is_empty());
    }

    #[test]
    fn test_blocks_include_their_attributes() {
        let code = "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\n#[cfg(test)]\nmod more;\n";
        assert_eq!(test_blocks(code), [1..7, 8..10]);
    }
}
