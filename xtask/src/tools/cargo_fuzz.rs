//! `cargo-fuzz`, built from crates.io at a pinned version.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::Availability;
use crate::process;

const VERSION: &str = "0.13.2";

/// The program, when it is there in the pinned version.
pub fn find() -> Option<PathBuf> {
    let root = process::tools_dir();
    let installed = fs::read_to_string(root.join(".crates.toml")).ok()?;
    let program = root.join("bin").join("cargo-fuzz");
    (installed.contains(&format!("\"cargo-fuzz {VERSION} (")) && program.is_file()).then_some(program)
}

/// Builds it.
pub fn install() -> Result<Availability> {
    let root = process::tools_dir();
    let version = format!("={VERSION}");
    let mut command = process::cargo();
    command
        .args(["install", "cargo-fuzz", "--quiet", "--locked", "--version", &version, "--root"])
        .arg(&root);
    process::must(&mut command)?;
    Ok(Availability::Ready(root.join("bin").join("cargo-fuzz")))
}
