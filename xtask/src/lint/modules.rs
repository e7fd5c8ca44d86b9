//! Modules open with `//!` and are `foo.rs` beside `foo/`, never `mod.rs`.
//!
//! Test modules beside their code need no description; a whole-binary story or an integration test does.

use anyhow::Result;

use super::{Report, Workspace};
use crate::source::{Finding, SourceFile, Tree};

/// Checks every Rust file.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let count = workspace.tree.rust().count();
    Ok(Report { did: format!("{count} files"), findings: faults(&workspace.tree) })
}

fn faults(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.rust() {
        if file.path.ends_with("/mod.rs") {
            found.push(Finding::file(&file.path, "write foo.rs beside foo/, not foo/mod.rs"));
        }
        let described = file
            .text
            .lines()
            .find(|line| !line.trim().is_empty())
            .is_some_and(|line| line.starts_with("//!"));
        if !described && !is_test_module(file) {
            found.push(Finding::at(
                &file.path,
                1,
                "opens without `//!`: say what it is, where it stands, what always holds",
            ));
        }
    }
    found
}

/// `foo/tests.rs`, or a part of it in `foo/tests/`, as against a test target of its own.
fn is_test_module(file: &SourceFile) -> bool {
    file.is_test() && file.path.contains("/src/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn described_modules_and_test_modules_are_fine() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "//! A.\n"),
            ("a/src/lib/tests.rs", "use super::*;\n"),
            ("a/tests/t.rs", "//! T.\n"),
        ]);
        assert!(faults(&tree).is_empty());
    }

    #[test]
    fn a_silent_module_and_mod_rs_are_found() {
        let tree = Tree::of(&[
            ("a/src/b.rs", "use x;\n"),
            ("a/src/c/mod.rs", "//! C.\n"),
            ("a/tests/t.rs", "use x;\n"),
        ]);
        let found = faults(&tree);
        assert_eq!(
            found.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(),
            ["a/src/b.rs", "a/src/c/mod.rs", "a/tests/t.rs"]
        );
    }
}
