//! Files, functions and in-file tests stay small enough to be read at one sitting.
//!
//! Test code is excluded from the first two; an in-file test block that has grown moves to `foo/tests.rs`. An exception
//! stands in the list below with its reason, and an exception that is no longer needed is a fault.

use std::ops::Range;

use anyhow::Result;

use super::code;
use super::{Report, Workspace};
use crate::source::{Finding, SourceFile, Tree};

/// Lines of a file, its test blocks not counted.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a test block inside a file.
const TEST_LINES_MAX: usize = 100;

/// A file or function that may exceed its limit, and why.
struct Exception {
    path: &'static str,
    /// The function; none for the file itself.
    function: Option<&'static str>,
    /// Why it reads better long.
    #[expect(dead_code, reason = "for the reader of this list")]
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[];

/// Checks every Rust file.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let found: Vec<Oversize> = workspace.tree.rust().flat_map(oversizes).collect();
    let functions: usize =
        workspace.tree.rust().map(|file| code::functions(&code::blank(&file.text)).len()).sum();
    let files = workspace.tree.rust().count();
    let did = format!("{files} files, {functions} functions, {} exceptions", EXCEPTIONS.len());
    Ok(Report { did, findings: judge(found, EXCEPTIONS, &workspace.tree) })
}

/// Something longer than its limit.
#[derive(Debug, PartialEq, Eq)]
struct Oversize {
    path: String,
    line: usize,
    function: Option<String>,
    message: String,
}

fn judge(found: Vec<Oversize>, exceptions: &[Exception], tree: &Tree) -> Vec<Finding> {
    let covers = |exception: &Exception, over: &Oversize| {
        exception.path == over.path && exception.function == over.function.as_deref()
    };
    let stale = exceptions.iter().filter(|exception| !found.iter().any(|over| covers(exception, over)));
    let mut findings: Vec<Finding> = stale
        .map(|exception| {
            let gone =
                if tree.get(exception.path).is_some() { "is within its limits" } else { "does not exist" };
            let what = exception.function.map_or(String::new(), |name| format!("{name} in "));
            Finding::file(
                "xtask/src/lint/sizes.rs",
                format!("the exception for {what}{} {gone}: remove it", exception.path),
            )
        })
        .collect();
    let plain = found.into_iter().filter(|over| !exceptions.iter().any(|exception| covers(exception, over)));
    findings.extend(plain.map(|over| Finding::at(&over.path, over.line, over.message)));
    findings
}

fn oversizes(file: &SourceFile) -> Vec<Oversize> {
    if file.is_test() {
        return Vec::new();
    }
    let code = code::blank(&file.text);
    let tests = code::test_blocks(&code);
    let over = |line: usize, function: Option<String>, message: String| Oversize {
        path: file.path.clone(),
        line,
        function,
        message,
    };
    let mut found = Vec::new();

    let tested: usize = tests.iter().map(Range::len).sum();
    let lines = file.text.lines().count() - tested;
    if lines > FILE_LINES_MAX {
        found.push(over(1, None, format!("{lines} lines, at most {FILE_LINES_MAX} without tests: split it")));
    }
    for block in tests.iter().filter(|block| block.len() > TEST_LINES_MAX) {
        let message = format!(
            "{} lines of tests, at most {TEST_LINES_MAX} in the file: move them to a tests.rs",
            block.len()
        );
        found.push(over(block.start + 1, Some("tests".to_owned()), message));
    }
    for function in code::functions(&code) {
        let is_test = tests.iter().any(|block| block.contains(&function.lines.start));
        let length = function.lines.len();
        if !is_test && length > FUNCTION_LINES_MAX {
            let message =
                format!("fn {} has {length} lines, at most {FUNCTION_LINES_MAX}: split it", function.name);
            found.push(over(function.lines.start + 1, Some(function.name), message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: String) -> SourceFile {
        SourceFile { path: path.to_owned(), text }
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2))
    }

    fn lines(file: &SourceFile) -> Vec<usize> {
        oversizes(file).iter().map(|over| over.line).collect()
    }

    #[test]
    fn a_file_may_have_600_lines_besides_its_tests() {
        let tests = "#[cfg(test)]\nmod tests {\n}\n";
        assert!(lines(&file("a.rs", "use x;\n".repeat(600) + tests)).is_empty());
        assert_eq!(lines(&file("a.rs", "use x;\n".repeat(601) + tests)), [1]);
        assert!(lines(&file("a/tests.rs", "use x;\n".repeat(601))).is_empty());
    }

    #[test]
    fn a_function_may_have_70_lines() {
        assert!(lines(&file("a.rs", function(70))).is_empty());
        assert_eq!(lines(&file("a.rs", "use x;\n".to_owned() + &function(71))), [2]);
    }

    #[test]
    fn tests_may_have_100_lines_in_their_file_and_long_functions() {
        let block = |lines: usize| format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(lines - 3));
        assert!(lines(&file("a.rs", block(100))).is_empty());
        assert_eq!(lines(&file("a.rs", block(101))), [1]);
    }

    #[test]
    fn an_exception_covers_its_function_and_must_be_needed() {
        let exceptions = [Exception { path: "a.rs", function: Some("long"), reason: "a table" }];
        let long = oversizes(&file("a.rs", function(80)));
        assert!(judge(long, &exceptions, &Tree::default()).is_empty());
        let stale = judge(Vec::new(), &exceptions, &Tree::of(&[("a.rs", "")]));
        assert!(stale[0].message.contains("long in a.rs is within its limits"));
    }
}
