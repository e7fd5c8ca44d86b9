//! Every parser of bytes from outside has a fuzz target.
//!
//! A parser is a public function of `crates/wire` whose name begins with parse, scan or decode. Its target is a file in
//! `fuzz/fuzz_targets/` that names both the function and its module (or a type of that module).

use anyhow::Result;

use super::{Report, Workspace, code};
use crate::source::{Finding, SourceFile, Tree};

const PARSERS: &str = "crates/wire/src/";
const TARGETS: &str = "fuzz/fuzz_targets/";
const VERBS: &[&str] = &["parse", "scan", "decode"];

/// Parsers that need no target of their own: path, function, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Checks parsers against targets, and targets against the fuzz manifest.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let tree = &workspace.tree;
    let targets: Vec<&SourceFile> = tree.rust().filter(|file| file.path.starts_with(TARGETS)).collect();
    let parsers: Vec<Parser> =
        tree.rust().filter(|file| file.path.starts_with(PARSERS)).flat_map(parsers).collect();
    let mut findings = unlisted(tree, &targets);
    let untested = parsers
        .iter()
        .filter(|parser| !parser.excused() && !targets.iter().any(|target| parser.is_in(&target.text)));
    findings.extend(untested.map(|parser| {
        let message = format!("fn {} is called by no fuzz target: add one in {TARGETS}", parser.function);
        Finding::at(&parser.path, parser.line, message)
    }));
    Ok(Report { did: format!("{} parsers, {} targets", parsers.len(), targets.len()), findings })
}

struct Parser {
    path: String,
    line: usize,
    function: String,
}

fn parsers(file: &SourceFile) -> Vec<Parser> {
    if file.is_test() {
        return Vec::new();
    }
    let code = code::blank(&file.text);
    let tests = code::test_blocks(&code);
    let is_parser = |function: &code::Function| {
        let verb = function.name.split('_').next().unwrap_or_default();
        function.is_public
            && VERBS.contains(&verb)
            && !tests.iter().any(|block| block.contains(&function.lines.start))
    };
    let functions = code::functions(&code).into_iter().filter(is_parser);
    functions
        .map(|function| Parser {
            path: file.path.clone(),
            line: function.lines.start + 1,
            function: function.name,
        })
        .collect()
}

impl Parser {
    fn is_in(&self, target: &str) -> bool {
        let module = self.path.strip_prefix(PARSERS).unwrap_or(&self.path).trim_end_matches(".rs");
        // `openai/chat.rs` may be reached through a re-export of `openai`.
        let calls = format!("{}(", self.function);
        target.contains(&calls) && module.split('/').any(|part| target.contains(part))
    }

    fn excused(&self) -> bool {
        EXCEPTIONS.iter().any(|(path, function, _)| *path == self.path && *function == self.function)
    }
}

/// Targets that the fuzz manifest does not build, and manifest entries without a file.
fn unlisted(tree: &Tree, targets: &[&SourceFile]) -> Vec<Finding> {
    let manifest = tree.get("fuzz/Cargo.toml").map_or("", |file| file.text.as_str());
    let path_of = |line: &str| Some(line.trim().strip_prefix("path = \"")?.strip_suffix('"')?.to_owned());
    let listed: Vec<(usize, String)> =
        manifest.lines().enumerate().filter_map(|(at, line)| Some((at + 1, path_of(line)?))).collect();
    let is_listed =
        |target: &&&SourceFile| !listed.iter().any(|(_, path)| format!("fuzz/{path}") == target.path);
    let mut found: Vec<Finding> = targets
        .iter()
        .filter(is_listed)
        .map(|target| Finding::file(&target.path, "has no [[bin]] in fuzz/Cargo.toml"))
        .collect();
    for (line, path) in listed.iter().filter(|(_, path)| path.starts_with("fuzz_targets/")) {
        if tree.get(&format!("fuzz/{path}")).is_none() {
            found.push(Finding::at("fuzz/Cargo.toml", *line, format!("{path} does not exist")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Metadata;
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let workspace = Workspace { tree: Tree::of(files), metadata: Metadata::default() };
        check(&workspace).unwrap().findings.into_iter().map(|finding| finding.to_string()).collect()
    }

    const MANIFEST: (&str, &str) =
        ("fuzz/Cargo.toml", "[[bin]]\nname = \"sse\"\npath = \"fuzz_targets/sse.rs\"\n");

    #[test]
    fn a_parser_with_a_target_is_fine() {
        let wire = ("crates/wire/src/sse.rs", "pub fn scan_events(b: &[u8]) {\n}\nfn parse_x() {}\n");
        let target = ("fuzz/fuzz_targets/sse.rs", "fuzz_target!(|b| sse::scan_events(b));\n");
        assert!(found(&[wire, target, MANIFEST]).is_empty());
    }

    #[test]
    fn a_parser_without_a_target_is_found() {
        let wire = ("crates/wire/src/orca.rs", "//! Orca.\npub fn parse(b: &[u8]) {\n}\n");
        let target = ("fuzz/fuzz_targets/sse.rs", "fuzz_target!(|b| sse::parse(b));\n");
        assert_eq!(
            found(&[wire, target, MANIFEST]),
            [
                "crates/wire/src/orca.rs:2: fn parse is called by no fuzz target: add one in fuzz/fuzz_targets/"
            ]
        );
    }

    #[test]
    fn the_manifest_lists_exactly_the_targets() {
        let target = ("fuzz/fuzz_targets/orca.rs", "");
        let expected = [
            "fuzz/fuzz_targets/orca.rs: has no [[bin]] in fuzz/Cargo.toml",
            "fuzz/Cargo.toml:3: fuzz_targets/sse.rs does not exist",
        ];
        assert_eq!(found(&[target, MANIFEST]), expected);
    }
}
