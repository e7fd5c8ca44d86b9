//! Licences of everything that is built, against an allow-list.
//!
//! An SPDX expression is accepted when one of its alternatives consists of allowed licences only. A package without a
//! licence field is refused: somebody has to look at it and name it here.

use anyhow::Result;

use super::{Report, Workspace};
use crate::source::Finding;

/// Permissive licences that an Apache-2.0 binary may contain.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks the licence of every package, ours included.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let packages = &workspace.metadata.packages;
    let mut findings = Vec::new();
    for package in packages {
        let verdict = match package.license.as_deref() {
            None => Some("names no licence".to_owned()),
            Some(expression) if !allowed(expression) => {
                Some(format!("has the licence {expression:?}, not on the list"))
            }
            Some(_) => None,
        };
        if let Some(verdict) = verdict {
            let message =
                format!("{} {} {verdict} (xtask/src/lint/licences.rs)", package.name, package.version);
            findings.push(Finding::file("Cargo.lock", message));
        }
    }
    Ok(Report { did: format!("{} packages", packages.len()), findings })
}

/// Whether an SPDX expression can be met with allowed licences. The old form `A/B` means `A OR B`.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, at: 0 };
    reader.either() == Some(true) && reader.at == words.len()
}

/// Reads an expression from left to right; each method gives none when the expression is broken.
struct Reader<'a> {
    words: &'a [&'a str],
    at: usize,
}

impl Reader<'_> {
    fn either(&mut self) -> Option<bool> {
        let mut met = self.both()?;
        while self.takes("OR") {
            met |= self.both()?;
        }
        Some(met)
    }

    fn both(&mut self) -> Option<bool> {
        let mut met = self.single()?;
        while self.takes("AND") {
            met &= self.single()?;
        }
        Some(met)
    }

    fn single(&mut self) -> Option<bool> {
        if self.takes("(") {
            let met = self.either()?;
            return self.takes(")").then_some(met);
        }
        let mut licence = self.next()?.to_owned();
        if self.takes("WITH") {
            licence = format!("{licence} WITH {}", self.next()?);
        }
        Some(ALLOWED.contains(&licence.as_str()))
    }

    fn next(&mut self) -> Option<&str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn takes(&mut self, word: &str) -> bool {
        let there = self.words.get(self.at) == Some(&word);
        self.at += usize::from(there);
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_alternative_is_enough() {
        assert!(allowed("MIT OR GPL-3.0"));
        assert!(allowed("GPL-3.0 OR MIT"));
        assert!(allowed("MIT/Apache-2.0"));
        assert!(allowed("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"));
    }

    #[test]
    fn every_part_of_a_conjunction_counts() {
        assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!allowed("MIT AND GPL-3.0"));
        assert!(!allowed("(MIT OR Apache-2.0) AND OpenSSL"));
        assert!(allowed("MIT AND ISC OR GPL-2.0"));
    }

    #[test]
    fn unknown_and_broken_expressions_are_refused() {
        for expression in
            ["GPL-3.0-only", "", "MIT OR", "(MIT", "MIT MIT", "Apache-2.0 WITH Classpath-exception-2.0"]
        {
            assert!(!allowed(expression), "{expression:?} was allowed");
        }
    }
}
