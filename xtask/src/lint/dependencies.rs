//! A dependency is a decision: it stands once in the root's `[workspace.dependencies]`, with its reason in the line
//! above, and crates take it from there.
//!
//! Also found: entries of the root that no crate takes, and dependencies that a crate takes and never names.

use anyhow::Result;

use super::manifest::{self, Entry};
use super::{Report, Workspace, code};
use crate::source::{Finding, Tree};

const ROOT: &str = "Cargo.toml";
const TABLE: &str = "workspace.dependencies";

/// Dependencies that work without being named in code: the crate and the dependency, with the reason.
const UNNAMED: &[(&str, &str, &str)] = &[];

/// Checks the root's table and the manifests of all members.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let members: Vec<&str> =
        workspace.metadata.members().map(|package| workspace.metadata.manifest(package)).collect();
    let tree = &workspace.tree;
    let root = tree.get(ROOT).map_or("", |file| file.text.as_str());
    let table: Vec<Entry> =
        manifest::entries(root).into_iter().filter(|entry| entry.section == TABLE).collect();
    let mut findings = faults_of_table(&table);
    let mut taken = Vec::new();
    for path in &members {
        let text = tree.get(path).map_or("", |file| file.text.as_str());
        let entries = manifest::entries(text);
        findings.extend(faults_of_member(path, &entries));
        findings.extend(unnamed(tree, path, &entries));
        taken.extend(entries.into_iter().map(|entry| entry.name));
    }
    for entry in table.iter().filter(|entry| !taken.contains(&entry.name)) {
        findings.push(Finding::at(ROOT, entry.line, format!("no crate takes {}: remove it", entry.name)));
    }
    Ok(Report { did: format!("{} entries, {} crates", table.len(), members.len()), findings })
}

fn faults_of_table(table: &[Entry]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, entry) in table.iter().enumerate() {
        let is_ours = entry.value.contains("path =");
        if !is_ours && !entry.has_reason {
            found.push(Finding::at(
                ROOT,
                entry.line,
                format!("{} has no reason: say in the line above what it is for", entry.name),
            ));
        }
        if table[..index].iter().any(|other| other.name == entry.name) {
            found.push(Finding::at(ROOT, entry.line, format!("{} stands twice", entry.name)));
        }
    }
    found
}

fn faults_of_member(path: &str, entries: &[Entry]) -> Vec<Finding> {
    let own = entries.iter().filter(|entry| !entry.inherited && entry.section != TABLE);
    own.map(|entry| {
        Finding::at(
            path,
            entry.line,
            format!("write {}.workspace = true, its version stands in the root", entry.name),
        )
    })
    .collect()
}

/// Dependencies whose name appears nowhere in the crate's code.
fn unnamed(tree: &Tree, manifest: &str, entries: &[Entry]) -> Vec<Finding> {
    let folder = manifest.trim_end_matches("Cargo.toml");
    // The stories in the root's `tests/` are test targets of the binary's crate.
    let belongs = |path: &str| {
        path.starts_with(folder) || (folder == "crates/roadstead/" && path.starts_with("tests/"))
    };
    let code: Vec<String> =
        tree.rust().filter(|file| belongs(&file.path)).map(|file| code::blank(&file.text)).collect();
    let excused =
        |entry: &Entry| UNNAMED.iter().any(|(path, name, _)| *path == manifest && *name == entry.name);
    let absent = |entry: &&Entry| !code.iter().any(|text| names(text, &entry.name.replace('-', "_")));
    let found = entries.iter().filter(|entry| entry.inherited && !excused(entry)).filter(absent);
    found
        .map(|entry| {
            Finding::at(manifest, entry.line, format!("takes {} and never names it: remove it", entry.name))
        })
        .collect()
}

/// Whether the code holds this word as a whole.
fn names(code: &str, word: &str) -> bool {
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_word);
        let after = code[at + word.len()..].chars().next().is_some_and(is_word);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Vec<String> {
        faults_of_table(&manifest::entries(text)).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn an_entry_needs_a_reason_unless_it_is_ours() {
        let text = "[workspace.dependencies]\n# --- ours ---\nroadstead-core = { path = \"crates/core\" }\n# buffers\nbytes = \"1\"\nhttp = \"1\"\n";
        assert_eq!(table(text), ["Cargo.toml:6: http has no reason: say in the line above what it is for"]);
    }

    #[test]
    fn an_entry_stands_once() {
        let text = "[workspace.dependencies]\n# buffers\nbytes = \"1\"\n# again\nbytes = \"1\"\n";
        assert_eq!(table(text), ["Cargo.toml:5: bytes stands twice"]);
    }

    #[test]
    fn a_version_in_a_member_is_found() {
        let entries =
            manifest::entries("[dependencies]\nbytes.workspace = true\n[dev-dependencies]\ninsta = \"1\"\n");
        let found = faults_of_member("crates/a/Cargo.toml", &entries);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("crates/a/Cargo.toml:4: write insta.workspace"));
    }

    #[test]
    fn a_dependency_that_no_code_names_is_found() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "use http_body::Body; // bytes\n"),
            ("crates/b/src/lib.rs", "use bytes::Bytes;\n"),
        ]);
        let entries = manifest::entries(
            "[dependencies]\nbytes.workspace = true\nhttp.workspace = true\nhttp-body.workspace = true\n",
        );
        let found = unnamed(&tree, "crates/a/Cargo.toml", &entries);
        assert_eq!(found.iter().filter_map(|finding| finding.line).collect::<Vec<_>>(), [2, 3]);
    }
}
