//! A short run of every fuzz target: no long search, but every target still builds and its seeds still pass.
//!
//! Runs on the stable compiler with `RUSTC_BOOTSTRAP=1`, which cargo-fuzz's flags need. What libFuzzer prints goes to a
//! file and is shown only for a target that fails.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::count::Counts;
use crate::process;
use crate::tools::{self, Availability};

/// One input that takes longer than this is a fault.
const INPUT_SECONDS_MAX: u32 = 10;
/// How much of a failed target's output is shown.
const TAIL_LINES: usize = 60;

/// Runs each target for so many seconds.
pub fn run(seconds: u32, filter: Option<&str>) -> Result<Counts> {
    let targets = targets(&process::root().join("fuzz/fuzz_targets"), filter)?;
    if targets.is_empty() {
        return Ok(Counts::default());
    }
    let program = match prepare()? {
        Availability::Ready(program) => program,
        Availability::Missing(why) => {
            let notes = vec![format!("skipped: fuzz targets, {why}")];
            return Ok(Counts { skipped: targets.len(), notes, ..Counts::default() });
        }
    };
    if !process::succeeds(&mut cargo_fuzz(&program, "build"))? {
        let notes = vec!["failed: the fuzz targets do not build".to_owned()];
        return Ok(Counts { failed: targets.len(), notes, ..Counts::default() });
    }
    let mut counts = Counts::default();
    for target in &targets {
        if one(&program, target, seconds)? {
            counts.passed += 1;
        } else {
            counts.failed += 1;
            counts.notes.push(format!("failed: fuzz target {target}"));
        }
    }
    Ok(counts)
}

/// Sees to it that targets can be built, and returns `cargo-fuzz`.
fn prepare() -> Result<Availability> {
    match tools::CXX.ensure()? {
        Availability::Ready(_) => tools::CARGO_FUZZ.ensure(),
        missing => Ok(missing),
    }
}

/// Runs one target. True when it found nothing.
fn one(program: &Path, target: &str, seconds: u32) -> Result<bool> {
    let fuzz = process::root().join("fuzz");
    let corpus = fuzz.join("corpus").join(target);
    let seeds = fuzz.join("seeds").join(target);
    fs::create_dir_all(&corpus).context("cannot make a corpus folder")?;
    let log_path = target_dir().join(format!("{target}.log"));
    let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;

    let mut command = cargo_fuzz(program, "run");
    // New inputs go to the first folder; the second is in git.
    command.arg(target).arg(corpus).args(seeds.is_dir().then_some(seeds)).arg("--");
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    command.stdout(log.try_clone().context("cannot share a log")?).stderr(log);
    let status = command.status().context("cannot run cargo-fuzz")?;

    let output = fs::read(&log_path).context("cannot read a log")?;
    let output = String::from_utf8_lossy(&output);
    let lines: Vec<&str> = output.lines().collect();
    if status.success() {
        let done = lines.iter().rev().find(|line| line.starts_with("Done ")).copied();
        println!("fuzz {target:<20} ok: {}", done.unwrap_or("nothing found"));
    } else {
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        println!("{tail}\nfuzz {target:<20} FAILED: the end of {} stands above", log_path.display());
    }
    Ok(status.success())
}

fn cargo_fuzz(program: &Path, verb: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(process::root()).env("RUSTC_BOOTSTRAP", "1");
    command.args([verb, "--fuzz-dir", "fuzz", "--target-dir"]).arg(target_dir());
    command
}

/// Build outputs of the fuzz workspace, beside those of the main one.
fn target_dir() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| process::root().join("target"), PathBuf::from);
    target.join("fuzz")
}

/// The names of the targets, by their files; none where there is no such folder.
fn targets(folder: &Path, filter: Option<&str>) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.context("cannot read the folder of fuzz targets")?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if is_rust && filter.is_none_or(|filter| name.contains(filter)) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_rust_files_that_match_the_filter() {
        let here = process::root().join("xtask/src/test");
        assert_eq!(targets(&here, None).unwrap(), ["count", "fuzz"]);
        assert_eq!(targets(&here, Some("fu")).unwrap(), ["fuzz"]);
        assert!(targets(&here.join("absent"), None).unwrap().is_empty());
    }
}
