//! `cargo xtask lint`: style, structure and dependencies.
//!
//! Each check is one file under `lint/`: a pure function from the repository's text and cargo's metadata to findings.
//! All checks run, also after one has found something, cheap ones first.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::source::{Finding, Tree};
use metadata::Metadata;

mod code;
mod dependencies;
mod duplicates;
mod fuzzing;
mod layers;
mod licences;
mod manifest;
mod metadata;
mod modules;
mod sizes;
mod stages;
mod text;

/// What `cargo xtask lint` takes.
#[derive(clap::Args)]
pub struct Options {
    /// Only these checks (all by default)
    checks: Vec<String>,
    /// Names the checks and ends
    #[arg(long)]
    list: bool,
}

/// What every check may look at.
pub struct Workspace {
    pub tree: Tree,
    pub metadata: Metadata,
}

/// What a check did, and what it found.
pub struct Report {
    pub did: String,
    pub findings: Vec<Finding>,
}

struct Check {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Result<Report>,
}

const CHECKS: &[Check] = &[
    Check {
        name: "layers",
        about: "crates use only the crates that their layer may use",
        run: layers::check,
    },
    Check {
        name: "dependencies",
        about: "each dependency stands once in the root, with its reason",
        run: dependencies::check,
    },
    Check {
        name: "duplicates",
        about: "crates whose types cross borders exist in one version",
        run: duplicates::check,
    },
    Check { name: "licences", about: "licences are on the allow-list", run: licences::check },
    Check { name: "stages", about: "each stage of a request's path has its file", run: stages::check },
    Check { name: "modules", about: "modules open with their description, no mod.rs", run: modules::check },
    Check { name: "sizes", about: "files, functions and in-file tests stay small", run: sizes::check },
    Check { name: "text", about: "no paths or hosts of build machines", run: text::check },
    Check { name: "fuzzing", about: "every parser has a fuzz target", run: fuzzing::check },
    Check { name: "fmt", about: "rustfmt changes nothing", run: fmt },
    Check { name: "clippy", about: "clippy warns of nothing", run: clippy },
    Check { name: "docs", about: "rustdoc finds no broken link", run: docs },
];

/// Runs the checks. True when none found anything.
pub fn run(options: &Options) -> Result<bool> {
    if options.list {
        for check in CHECKS {
            println!("{:<13} {}", check.name, check.about);
        }
        return Ok(true);
    }
    if let Some(unknown) = options.checks.iter().find(|name| CHECKS.iter().all(|check| check.name != **name))
    {
        bail!("no check is called {unknown:?}: see --list");
    }
    let root = process::root();
    let workspace = Workspace { tree: Tree::read(&root)?, metadata: Metadata::read(&root)? };
    let mut failed = Vec::new();
    let wanted =
        |check: &&Check| options.checks.is_empty() || options.checks.iter().any(|name| name == check.name);
    for check in CHECKS.iter().filter(wanted) {
        let report = (check.run)(&workspace)?;
        let verdict = if report.findings.is_empty() { "ok" } else { "FAILED" };
        println!("lint {:<13} {verdict}: {}", check.name, report.did);
        for finding in &report.findings {
            println!("  {finding}");
        }
        if !report.findings.is_empty() {
            failed.push(check.name);
        }
    }
    if !failed.is_empty() {
        println!("lint: {} failed", failed.join(", "));
    }
    Ok(failed.is_empty())
}

fn fmt(_: &Workspace) -> Result<Report> {
    let mut workspace = process::cargo();
    workspace.args(["fmt", "--all", "--check"]);
    let mut report = by_command(&mut workspace, "Cargo.toml", "run `cargo fmt --all`")?;
    // The fuzz targets are a workspace of their own.
    let mut fuzz = process::cargo();
    fuzz.args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]);
    let advice = "run `cargo fmt --manifest-path fuzz/Cargo.toml`";
    report.findings.extend(by_command(&mut fuzz, "fuzz/Cargo.toml", advice)?.findings);
    Ok(report)
}

fn clippy(workspace: &Workspace) -> Result<Report> {
    let mut command = process::cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    let report = by_command(&mut command, "Cargo.toml", "see clippy's output above")?;
    let did = format!("{} crates with all targets, warnings denied", workspace.metadata.members().count());
    Ok(Report { did, ..report })
}

fn docs(_: &Workspace) -> Result<Report> {
    let mut command = process::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings");
    by_command(&mut command, "Cargo.toml", "see rustdoc's output above")
}

/// A check that is another program's: one finding when that program fails.
fn by_command(command: &mut Command, path: &str, message: &str) -> Result<Report> {
    let ok = process::succeeds(command)?;
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let argument = command.get_args().next().unwrap_or_default().to_string_lossy().into_owned();
    let findings = if ok { Vec::new() } else { vec![Finding::file(path, message)] };
    Ok(Report { did: format!("{program} {argument}"), findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_names_are_unique() {
        for (i, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[..i].iter().all(|other| other.name != check.name), "{} stands twice", check.name);
        }
    }

    #[test]
    fn a_failing_command_is_one_finding() {
        let report = by_command(&mut Command::new("false"), "Cargo.toml", "see above").unwrap();
        assert_eq!(report.findings, [Finding::file("Cargo.toml", "see above")]);
        assert!(
            by_command(&mut Command::new("true"), "Cargo.toml", "see above").unwrap().findings.is_empty()
        );
    }
}
