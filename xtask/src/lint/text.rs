//! No paths of build machines and no hosts of package registries in the repository's text.
//!
//! Such text works on one machine only and tells the reader nothing. The lock files name cargo's registry in cargo's own
//! words; nothing else may stand there.

use anyhow::Result;

use super::{Report, Workspace};
use crate::source::{Finding, SourceFile};

/// Folders of somebody's machine, found where a path begins.
const FOLDERS: &[&str] = &["/root/", "/work/", "/home/", "/Users/", "/tmp/rs"];

/// Hosts that a package client knows by itself.
const HOSTS: &[&str] = &[
    "index.crates.io",
    "static.crates.io",
    "pypi.org",
    "pythonhosted.org",
    "proxy.golang.org",
    "registry.npmjs.org",
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "repo.maven.apache.org",
    "repo1.maven.org",
];

/// The only registry of a lock file.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// This file, which has to name what it looks for.
const ITSELF: &str = "xtask/src/lint/text.rs";

/// Checks every text file.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let files = &workspace.tree.files;
    let findings = files.iter().filter(|file| file.path != ITSELF).flat_map(faults).collect();
    Ok(Report { did: format!("{} files", files.len()), findings })
}

fn faults(file: &SourceFile) -> Vec<Finding> {
    let is_lock = file.path.ends_with("Cargo.lock");
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for folder in FOLDERS.iter().filter(|folder| begins_a_path(line, folder)) {
            found.push(Finding::at(
                &file.path,
                index + 1,
                format!("names {folder}, a folder of one machine"),
            ));
        }
        for host in HOSTS.iter().filter(|host| line.contains(**host)) {
            found.push(Finding::at(&file.path, index + 1, format!("names {host}, a registry's host")));
        }
        if is_lock && line.starts_with("source = ") && !line.contains(REGISTRY) {
            found.push(Finding::at(&file.path, index + 1, "a dependency that is not from crates.io"));
        }
    }
    found
}

/// Whether the text holds this folder at the beginning of an absolute path, and not inside a longer path or a URL.
fn begins_a_path(line: &str, folder: &str) -> bool {
    let inside = |before: char| {
        before.is_alphanumeric()
            || matches!(before, '.' | '/' | '-' | '_' | '}' | ')' | '~' | '$' | '%' | '*')
    };
    line.match_indices(folder).any(|(at, _)| !line[..at].chars().next_back().is_some_and(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        faults(&file).iter().filter_map(|finding| finding.line).collect()
    }

    #[test]
    fn folders_are_found_where_a_path_begins() {
        assert_eq!(lines("a.md", "see /root/x\n`/work/main`\ncd /home/me/y\n\"/tmp/rs\"\n"), [1, 2, 3, 4]);
        assert!(
            lines("a.md", "GET /v1/work/items\nhttp://host/home/x\n./work/x\n$dir/root/x\n~/work/x\n")
                .is_empty()
        );
    }

    #[test]
    fn registry_hosts_are_found_anywhere() {
        assert_eq!(
            lines("a.toml", "index = \"sparse+https://index.crates.io/\"\nurl = https://pypi.org/simple\n"),
            [1, 2]
        );
    }

    #[test]
    fn a_lock_file_knows_one_registry() {
        assert!(lines("Cargo.lock", &format!("source = \"{REGISTRY}\"\n")).is_empty());
        assert_eq!(lines("fuzz/Cargo.lock", "source = \"git+https://example.com/x\"\n"), [1]);
    }
}
