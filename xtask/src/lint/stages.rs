//! Each stage of a request's path has the file that carries its name.
//!
//! A newcomer finds code by guessing: the stages of ARCHITECTURE.md are the names of files.

use anyhow::Result;

use super::{Report, Workspace};
use crate::source::{Finding, Tree};

const STAGES: &[(&str, &str)] = &[
    ("intake", "crates/epp/src/intake.rs"),
    ("resolve", "crates/epp/src/resolve.rs"),
    ("pick", "crates/epp/src/pick.rs"),
    ("forward", "crates/proxy/src/forward.rs"),
    ("account", "crates/epp/src/account.rs"),
];

/// Checks that the files exist and hold code.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let names: Vec<&str> = STAGES.iter().map(|(stage, _)| *stage).collect();
    Ok(Report { did: names.join(" → "), findings: missing(&workspace.tree) })
}

fn missing(tree: &Tree) -> Vec<Finding> {
    let holds_code =
        |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
    let absent = |path: &str| !tree.get(path).is_some_and(|file| holds_code(&file.text));
    let stages = STAGES.iter().filter(|(_, path)| absent(path));
    stages
        .map(|(stage, path)| {
            Finding::file(path, format!("the stage {stage} of a request's path has no file here"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_stage_is_found() {
        let mut files: Vec<(&str, &str)> =
            STAGES.iter().map(|(_, path)| (*path, "//! Stage.\nfn f() {}\n")).collect();
        assert!(missing(&Tree::of(&files)).is_empty());
        files[0].1 = "//! Placeholder.\n";
        files.pop();
        let found = missing(&Tree::of(&files));
        assert_eq!(
            found.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(),
            [STAGES[0].1, STAGES[4].1]
        );
    }
}
