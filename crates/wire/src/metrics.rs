//! A scanner for Prometheus text pages that reads only the wanted series.
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>, and OpenMetrics where it differs.
//!
//! Engines are scraped twenty times a second, with pages of 60 KB of which six lines matter: a line is looked
//! at past its first bytes only where it can be a wanted one. Nothing is allocated. Broken lines are passed
//! over and counted. It must not know what a series means.

use std::borrow::Cow;

use memchr::memchr;

use crate::metrics::lines::for_each_line;

mod lines;

/// The series to read: metric names, each with the slot that the caller knows it by.
#[derive(Clone, Debug)]
pub struct Wanted {
    families: Vec<Family>,
    /// What all names begin with.
    prefix: Vec<u8>,
    /// Which bytes follow the prefix in some name. True everywhere where a name is nothing but the prefix.
    next: [bool; 256],
}

#[derive(Clone, Debug)]
struct Family {
    name: Vec<u8>,
    slot: usize,
}

/// One sample of a wanted series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'p> {
    /// The slot of its name in [`Wanted`].
    pub slot: usize,
    /// Its value; may be NaN or infinite.
    pub value: f64,
    /// Its labels.
    pub labels: Labels<'p>,
}

/// The labels of one sample, as they stand on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'p>(&'p [u8]);

/// What a scan came across beside the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Samples given out.
    pub samples: usize,
    /// Lines that cannot be metrics, or bear a wanted name and cannot be read.
    pub bad_lines: usize,
    /// Whether the page ends inside a line. That line is left out: its number may be cut.
    pub cut: bool,
}

impl Wanted {
    /// Wants the series called `name` for each `(name, slot)`. Several names may share a slot.
    pub fn new<'n>(names: impl IntoIterator<Item = (&'n str, usize)>) -> Wanted {
        let families: Vec<Family> =
            names.into_iter().map(|(name, slot)| Family { name: name.into(), slot }).collect();
        let first = families.first().map(|family| family.name.clone()).unwrap_or_default();
        let shared = |name: &[u8]| name.iter().zip(&first).take_while(|(a, b)| a == b).count();
        let length = families.iter().map(|family| shared(&family.name)).min().unwrap_or(0);
        let mut next = [false; 256];
        for family in &families {
            match family.name.get(length) {
                Some(byte) => next[usize::from(*byte)] = true,
                None => next = [true; 256],
            }
        }
        Wanted { prefix: first[..length].to_vec(), next, families }
    }

    /// The slot of the series that `line` begins with and what follows its name, where it is wanted.
    fn find<'p>(&self, line: &'p [u8]) -> Option<(usize, &'p [u8])> {
        let next = *line.get(self.prefix.len())?;
        if !self.next[usize::from(next)] || !line.starts_with(&self.prefix) {
            return None;
        }
        self.families.iter().find_map(|family| {
            let rest = line.strip_prefix(&*family.name)?;
            matches!(rest.first(), Some(b'{' | b' ' | b'\t')).then_some((family.slot, rest))
        })
    }
}

impl<'p> Labels<'p> {
    /// The value of label `name`, unescaped; `None` where there is no such label.
    pub fn get(&self, name: &str) -> Option<Cow<'p, str>> {
        self.iter().find(|(label, _)| *label == name.as_bytes()).and_then(|(_, raw)| unescape(raw))
    }

    /// Names and raw values.
    fn iter(&self) -> impl Iterator<Item = (&'p [u8], &'p [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, raw, after) = next_label(rest)?;
            rest = after;
            Some((name, raw))
        })
    }
}

/// Calls `out` with each sample on `page` whose name is wanted, in the page's order.
pub fn scan<'p>(page: &'p [u8], wanted: &Wanted, mut out: impl FnMut(Sample<'p>)) -> Scanned {
    let whole = memchr::memrchr(b'\n', page).map_or(0, |newline| newline + 1);
    let (page, rest) = page.split_at(whole);
    let mut scanned = Scanned { cut: !rest.is_empty() && rest != b"# EOF", ..Scanned::default() };
    for_each_line(page, |mut line| {
        match line[0] {
            b'#' | b'\n' | b'\r' => return,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' | b'{' => {}
            b' ' | b'\t' => line = after_blanks(line),
            _ => {
                scanned.bad_lines += 1;
                return;
            }
        }
        let Some((slot, after_name)) = wanted.find(line) else { return };
        let end = memchr(b'\n', after_name).unwrap_or(after_name.len());
        match sample(slot, &after_name[..end]) {
            Some(sample) => {
                scanned.samples += 1;
                out(sample);
            }
            None => scanned.bad_lines += 1,
        }
    });
    scanned
}

fn after_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &line[blanks..]
}

/// Reads what follows the name: labels, value, and perhaps a timestamp and an exemplar.
fn sample(slot: usize, text: &[u8]) -> Option<Sample<'_>> {
    let text = text.trim_ascii();
    let (labels, text) = match text.strip_prefix(b"{") {
        Some(text) => split_labels(text)?,
        None => (&text[..0], text),
    };
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let value = number(words.next()?)?;
    match words.next() {
        None | Some(b"#") => {}
        Some(timestamp) => {
            number(timestamp)?;
            if !matches!(words.next(), None | Some(b"#")) {
                return None;
            }
        }
    }
    Some(Sample { slot, value, labels: Labels(labels) })
}

/// Splits behind the closing brace; the labels come without it.
fn split_labels(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b"}") {
            let labels = &text[..text.len() - rest.len()];
            return Some((labels, after));
        }
        let (_, _, after) = next_label(rest)?;
        rest = after;
    }
}

/// The first `name="value"` of `text`: name, raw value, and what follows the comma after it.
fn next_label(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let equals = memchr(b'=', text)?;
    let name = text[..equals].trim_ascii();
    let value = text[equals + 1..].trim_ascii_start().strip_prefix(b"\"")?;
    let mut end = 0;
    loop {
        end += memchr::memchr2(b'"', b'\\', &value[end..])?;
        if value[end] == b'"' {
            break;
        }
        end += 2;
        if end > value.len() {
            return None;
        }
    }
    let after = value[end + 1..].trim_ascii_start();
    let after = match after.first() {
        Some(b',') => &after[1..],
        Some(b'}') | None => after,
        Some(_) => return None,
    };
    let named = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    named.then_some((name, &value[..end], after))
}

/// A label's value: `\\`, `\"` and `\n` are the escapes. `None` where it is not UTF-8.
fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    Some(Cow::Owned(out))
}

/// A number as Go writes it: also `NaN`, `+Inf`, `-Inf`.
fn number(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
