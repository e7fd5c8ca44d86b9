//! The text of the repository as the checks see it: every file that git tracks or would track.
//!
//! A `Tree` is read once; the checks are pure functions over it, so tests build small trees by hand.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// One text file.
pub struct SourceFile {
    /// Path from the root, with slashes.
    pub path: String,
    pub text: String,
}

/// All text files of the repository; what is not UTF-8 is left out.
#[derive(Default)]
pub struct Tree {
    pub files: Vec<SourceFile>,
}

/// Something that a check found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    /// Counted from 1; none when the finding is about the whole file.
    pub line: Option<usize>,
    pub message: String,
}

impl SourceFile {
    /// Whether the whole file is test code: integration tests, `tests.rs` beside its module, benches.
    pub fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        let name = parts.next_back().unwrap_or_default();
        name == "tests.rs" || parts.any(|folder| matches!(folder, "tests" | "benches"))
    }
}

impl Tree {
    /// Reads what `git ls-files` lists, untracked files that are not ignored included.
    pub fn read(root: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listing = process::output(&mut git)?;
        let mut paths: Vec<&str> = listing.split('\0').filter(|path| !path.is_empty()).collect();
        paths.sort_unstable();
        paths.dedup();
        // A listed file that cannot be read as text is deleted, a link to a folder, or binary: nothing to check.
        let read = |path: &str| {
            Some(SourceFile { path: path.to_owned(), text: fs::read_to_string(root.join(path)).ok()? })
        };
        Ok(Self { files: paths.into_iter().filter_map(read).collect() })
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The file with exactly this path.
    pub fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file =
            |(path, text): &(&str, &str)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }
}

impl Finding {
    /// A finding at a line, counted from 1.
    pub fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), message: message.into() }
    }

    /// A finding about a whole file.
    pub fn file(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files_are_told_by_their_place() {
        let tree = Tree::of(&[
            ("a/tests/x.rs", ""),
            ("a/src/b/tests.rs", ""),
            ("a/src/attests.rs", ""),
            ("testkit/a.rs", ""),
        ]);
        let test: Vec<bool> = tree.files.iter().map(SourceFile::is_test).collect();
        assert_eq!(test, [true, true, false, false]);
    }

    #[test]
    fn the_tree_of_this_repository_holds_this_file() {
        let tree = Tree::read(&process::root()).unwrap();
        assert!(tree.get("xtask/src/source.rs").is_some());
    }

    #[test]
    fn a_finding_reads_as_path_line_message() {
        assert_eq!(Finding::at("a.rs", 3, "too long").to_string(), "a.rs:3: too long");
        assert_eq!(Finding::file("a.rs", "missing").to_string(), "a.rs: missing");
    }
}
