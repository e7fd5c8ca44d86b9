//! Running `cargo test` and counting what it says.
//!
//! Output passes through as it comes. A test that cannot run on this machine passes after writing a line that begins
//! with `skipped: ` to the process's standard error, past the test harness's capture; it is counted as skipped.

use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::ops::AddAssign;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// How many tests ended in which way.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// What failed, by name, and what was skipped, with its reason: for the end of the run.
    pub notes: Vec<String>,
}

/// Runs a `cargo test` command and counts. A failure that no test reports (a build error, a test program that crashed)
/// counts as one failed test.
pub fn tests(command: &mut Command) -> Result<Counts> {
    process::announce(command);
    counted(command, &mut io::stdout())
}

/// Runs a command and counts, passing its output on.
fn counted(command: &mut Command, out: &mut impl Write) -> Result<Counts> {
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let colour = if io::stdout().is_terminal() { "always" } else { "never" };
    command.env("CARGO_TERM_COLOR", colour);
    // One pipe for both keeps their order. The command holds the writing ends: it must be gone before we read to the end.
    command.stdout(writer.try_clone().context("cannot share a pipe")?).stderr(writer);
    let mut child = command.spawn().context("cannot run cargo")?;
    command.stdout(io::stdout()).stderr(io::stderr());

    let mut tally = Tally::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("cannot read cargo's output")?;
        out.write_all(&line).and_then(|()| out.write_all(b"\n")).context("cannot write")?;
        tally.take(&plain(&String::from_utf8_lossy(&line)));
    }
    let status = child.wait().context("cargo vanished")?;
    Ok(tally.counts(status.success()))
}

/// What cargo's and the test harness's lines have said so far.
#[derive(Default)]
struct Tally {
    counts: Counts,
    /// Tests that the harness counts as passed and that say they were skipped.
    skip_lines: usize,
    /// Test programs that ended with a failing result line.
    failing_programs: usize,
    /// Test programs that cargo calls failed.
    failed_programs: usize,
}

impl Tally {
    fn take(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let count = |word: &str| count_before(result, word);
            let told = Counts {
                passed: count(" passed"),
                failed: count(" failed"),
                skipped: count(" ignored"),
                notes: Vec::new(),
            };
            self.failing_programs += usize::from(told.failed > 0);
            self.counts += told;
        } else if line.starts_with("error: test failed, to rerun")
            || line.starts_with("error: doctest failed, to rerun")
        {
            self.failed_programs += 1;
        } else if line.starts_with("skipped: ") {
            self.skip_lines += 1;
            self.counts.notes.push(line.to_owned());
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.counts.notes.push(format!("failed: {name}"));
        }
    }

    fn counts(self, success: bool) -> Counts {
        let mut counts = self.counts;
        let skipped = self.skip_lines.min(counts.passed);
        counts.passed -= skipped;
        counts.skipped += skipped;
        let crashed = self.failed_programs.saturating_sub(self.failing_programs);
        counts.failed += crashed;
        if crashed > 0 {
            counts.notes.push(format!("failed: {crashed} test programs ended without a result"));
        }
        if !success && counts.failed == 0 {
            counts.failed = 1;
            counts.notes.push("failed: cargo test itself".to_owned());
        }
        counts
    }
}

/// The number that stands before this word.
fn count_before(text: &str, word: &str) -> usize {
    let number = text.find(word).and_then(|at| text[..at].split_whitespace().next_back());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A line without terminal colours.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        rest = after.find('m').map_or("", |end| &after[end + 1..]);
    }
    out.push_str(rest);
    out
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.notes.extend(other.notes);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str], success: bool) -> (usize, usize, usize) {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.take(&plain(line)));
        let counts = tally.counts(success);
        (counts.passed, counts.failed, counts.skipped)
    }

    const OK: &str =
        "test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s";
    const BAD: &str =
        "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
    const RERUN: &str = "error: test failed, to rerun pass `-p x --lib`";

    #[test]
    fn result_lines_are_added_up() {
        assert_eq!(told(&["running 9 tests", OK, OK], true), (14, 0, 4));
        assert_eq!(told(&[OK, BAD, RERUN], false), (10, 1, 2));
    }

    #[test]
    fn a_test_program_that_crashed_is_one_failure() {
        assert_eq!(told(&[OK, RERUN, BAD, RERUN], false), (10, 2, 2));
    }

    #[test]
    fn what_failed_is_named() {
        let mut tally = Tally::default();
        ["test a::b ... ok", "test a::c ... FAILED", BAD, RERUN]
            .into_iter()
            .for_each(|line| tally.take(line));
        assert_eq!(tally.counts(false).notes, ["failed: a::c"]);
    }

    #[test]
    fn a_build_error_is_one_failure() {
        assert_eq!(told(&["error[E0425]: cannot find value"], false), (0, 1, 0));
    }

    #[test]
    fn a_skip_line_moves_one_from_passed_to_skipped_in_either_order() {
        assert_eq!(told(&["skipped: no python", OK], true), (6, 0, 3));
        assert_eq!(told(&[OK, "skipped: no python"], true), (6, 0, 3));
    }

    #[test]
    fn colours_do_not_hide_a_result() {
        assert_eq!(
            told(&["test result: \u{1b}[32mok\u{1b}[0m. 7 passed; 0 failed; 2 ignored"], true),
            (7, 0, 2)
        );
    }

    #[test]
    fn output_of_a_command_is_counted_from_both_streams() {
        let script = format!("echo '{OK}'; echo 'skipped: this' >&2; exit 0");
        let mut seen = Vec::new();
        let counts = counted(Command::new("sh").args(["-c", &script]), &mut seen).unwrap();
        assert_eq!((counts.passed, counts.failed, counts.skipped), (6, 0, 3));
        assert_eq!(counts.notes, ["skipped: this"]);
        assert!(String::from_utf8(seen).unwrap().contains("7 passed"));
    }
}
