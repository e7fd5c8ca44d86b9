//! A validating JSON cursor: walks over a text, says where values begin and end, builds no tree.
//!
//! The request scanner, usage, models and load headers stand on it. Whatever it walks over is checked against
//! RFC 8259 to the last byte, with a bound on nesting, except that escapes may spell lone surrogates (Python
//! and its engines accept them). UTF-8 is checked by whoever needs it. It must not know what the members mean.

use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting of objects and arrays, the outermost one counted.
pub const NESTING_MAX: u32 = 128;

/// Bytes that are tried one by one before the vectorised search, whose call costs more than a short run.
const NEAR_BYTES: usize = 8;

/// Which bytes make an escape with the backslash before them, except `u`.
static SHORT_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = b"\"\\/bfnrt";
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
};

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyErrorKind {
    /// No byte but white space.
    #[error("the body is empty")]
    Empty,
    /// It ends before the value does.
    #[error("the JSON ends too early")]
    Truncated,
    /// Something else was expected here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Valid JSON, but no object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// Not UTF-8.
    #[error("the body is not valid UTF-8")]
    InvalidUtf8,
    /// A raw control character inside a string.
    #[error("unescaped control character in a string")]
    ControlCharacter,
    /// A backslash before something that cannot be escaped.
    #[error("invalid escape in a string")]
    BadEscape,
    /// Not a JSON number.
    #[error("invalid number")]
    BadNumber,
    /// Nested deeper than [`NESTING_MAX`].
    #[error("nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    /// Something follows the value.
    #[error("unexpected data after the JSON value")]
    TrailingData,
    /// `model` is there and is not a string.
    #[error("`model` must be a string")]
    ModelNotString,
}

/// Why a body is refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct BodyError {
    /// What is wrong.
    pub kind: BodyErrorKind,
    /// Offset of the offending byte in the body; the body's length where it ends too early.
    pub offset: usize,
}

/// A position in a JSON text.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0, depth: 0 }
    }

    /// Offset of the next byte to read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Skips white space and returns the byte that follows, without taking it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Walks the members of the object that begins here: for each its key, unescaped, and the range of its
    /// value. Stops behind the closing brace.
    pub(crate) fn members(
        &mut self,
        mut each: impl FnMut(Cow<'a, [u8]>, Range<usize>),
    ) -> Result<(), BodyError> {
        self.open(b'{', "an object")?;
        if self.need()? == b'}' {
            self.close();
            return Ok(());
        }
        loop {
            let (raw, escaped) = self.key()?;
            let key = if escaped { unescape_key(raw) } else { Cow::Borrowed(&raw[1..raw.len() - 1]) };
            self.need()?;
            let start = self.at;
            self.skip_value()?;
            each(key, start..self.at);
            match self.need()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err(self.expected("',' or '}'")),
            }
            self.need()?;
        }
        self.close();
        Ok(())
    }

    /// Walks the elements of the array that begins here: the range of each. Stops behind the closing bracket.
    pub(crate) fn elements(&mut self, mut each: impl FnMut(Range<usize>)) -> Result<(), BodyError> {
        self.open(b'[', "an array")?;
        if self.need()? == b']' {
            self.close();
            return Ok(());
        }
        loop {
            self.need()?;
            let start = self.at;
            self.skip_value()?;
            each(start..self.at);
            match self.need()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(self.expected("',' or ']'")),
            }
        }
        self.close();
        Ok(())
    }

    /// Walks over the value that begins here, whatever it is.
    pub(crate) fn skip_value(&mut self) -> Result<(), BodyError> {
        // One bit a level: 1 where an object is open. The innermost level is the lowest bit.
        let mut objects: u128 = 0;
        let outer = self.depth;
        'value: loop {
            match self.need()? {
                b'"' => {
                    self.string()?;
                }
                open @ (b'{' | b'[') => {
                    self.deeper()?;
                    let close = open + 2;
                    objects = objects << 1 | u128::from(open == b'{');
                    if self.need()? != close {
                        if open == b'{' {
                            self.key()?;
                        }
                        continue 'value;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => return Err(self.expected("a value")),
            }
            while self.depth > outer {
                let in_object = objects & 1 == 1;
                match self.need()? {
                    b',' => {
                        self.at += 1;
                        if in_object {
                            self.need()?;
                            self.key()?;
                        }
                        continue 'value;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ if in_object => return Err(self.expected("',' or '}'")),
                    _ => return Err(self.expected("',' or ']'")),
                }
                self.close();
                objects >>= 1;
            }
            return Ok(());
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), BodyError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error(BodyErrorKind::TrailingData)),
        }
    }

    /// The error `kind` at this place.
    pub(crate) fn error(&self, kind: BodyErrorKind) -> BodyError {
        BodyError { kind, offset: self.at }
    }

    fn expected(&self, what: &'static str) -> BodyError {
        self.error(BodyErrorKind::Expected(what))
    }

    /// Like `peek`, where the text must not end.
    fn need(&mut self) -> Result<u8, BodyError> {
        self.peek().ok_or_else(|| self.error(BodyErrorKind::Truncated))
    }

    fn open(&mut self, byte: u8, what: &'static str) -> Result<(), BodyError> {
        if self.need()? != byte {
            return Err(self.expected(what));
        }
        self.deeper()
    }

    /// Takes an opening brace or bracket.
    fn deeper(&mut self) -> Result<(), BodyError> {
        if self.depth == NESTING_MAX {
            return Err(self.error(BodyErrorKind::TooDeep));
        }
        self.at += 1;
        self.depth += 1;
        Ok(())
    }

    /// Takes a closing brace or bracket.
    fn close(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// Takes a member's key and its colon: the key with its quotes, and whether it holds escapes.
    fn key(&mut self) -> Result<(&'a [u8], bool), BodyError> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.expected("a string as key"));
        }
        let start = self.at;
        let escaped = self.string()?;
        let raw = &self.bytes[start..self.at];
        if self.need()? != b':' {
            return Err(self.expected("':'"));
        }
        self.at += 1;
        Ok((raw, escaped))
    }

    /// Walks over the string that begins here; says whether it holds escapes.
    fn string(&mut self) -> Result<bool, BodyError> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        // Plain bytes since the last escape.
        let mut run = 0;
        let ended = loop {
            match self.bytes.get(at) {
                None => break Err(self.ended()),
                Some(b'"') => break Ok(escaped),
                Some(b'\\') => {
                    escaped = true;
                    run = 0;
                    match self.bytes.get(at + 1) {
                        Some(byte) if SHORT_ESCAPE[usize::from(*byte)] => at += 2,
                        Some(b'u') => match self.unicode_escape(at) {
                            Ok(end) => at = end,
                            Err(error) => break Err(error),
                        },
                        Some(_) => break Err(BodyError { kind: BodyErrorKind::BadEscape, offset: at }),
                        None => break Err(self.ended()),
                    }
                }
                Some(_) => {
                    at += 1;
                    run += 1;
                    if run == NEAR_BYTES {
                        let rest = &self.bytes[at..];
                        at += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                        run = 0;
                    }
                }
            }
        };
        let text = &self.bytes[start..at];
        if has_control(text) {
            self.at = start + text.iter().position(|byte| *byte < 0x20).unwrap_or_default();
            return Err(self.error(BodyErrorKind::ControlCharacter));
        }
        self.at = at + 1;
        ended
    }

    /// Where the escape ends that begins at `at` with `\u`.
    fn unicode_escape(&self, at: usize) -> Result<usize, BodyError> {
        let rest = &self.bytes[at + 2..];
        match rest.first_chunk::<4>() {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
            None if rest.iter().all(u8::is_ascii_hexdigit) => Err(self.ended()),
            _ => Err(BodyError { kind: BodyErrorKind::BadEscape, offset: at }),
        }
    }

    fn ended(&self) -> BodyError {
        BodyError { kind: BodyErrorKind::Truncated, offset: self.bytes.len() }
    }

    fn number(&mut self) -> Result<(), BodyError> {
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Result<(), BodyError> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            _ if self.at > start => Ok(()),
            None => Err(self.error(BodyErrorKind::Truncated)),
            Some(_) => Err(self.error(BodyErrorKind::BadNumber)),
        }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), BodyError> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        if word.as_bytes().starts_with(rest) {
            return Err(self.ended());
        }
        Err(self.expected("a value"))
    }
}

/// The text of the string literal `raw`, quotes included; `None` where it is no string or spells no Unicode.
pub(crate) fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(raw).ok().map(Cow::Owned)
}

/// The value of the number literal `raw` where it is a whole number; one too large is the largest.
pub(crate) fn whole(raw: &[u8]) -> Option<u32> {
    if raw.is_empty() || !raw.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    Some(raw.iter().fold(0, add))
}

/// What the key `raw` says. One that cannot be decoded (a lone surrogate) is none that anybody looks for: its raw
/// form will do.
fn unescape_key(raw: &[u8]) -> Cow<'_, [u8]> {
    match serde_json::from_slice::<String>(raw) {
        Ok(key) => Cow::Owned(key.into_bytes()),
        Err(_) => Cow::Borrowed(raw),
    }
}

/// Whether any byte is a control character. Without an early exit, so that it becomes vector code.
fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |any, byte| any | (*byte < 0x20))
}

#[cfg(test)]
mod tests;
