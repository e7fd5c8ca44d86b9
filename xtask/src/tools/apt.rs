//! Programs from Debian's packages, where there is apt and we are root.

use std::process::Command;

use anyhow::{Result, ensure};

use super::Availability;
use crate::process;

/// Installs the package that brings this program. Without apt or root it says what a person should install.
pub fn install(package: &str, program: &str) -> Result<Availability> {
    if process::find("apt-get").is_none() || !is_root() {
        return Ok(Availability::Missing(format!(
            "{program} is missing: install it (Debian: apt-get install {package})"
        )));
    }
    // The package lists may be absent or older than the archive.
    if !process::succeeds(&mut get(&["install", package]))? {
        process::must(&mut get(&["update"]))?;
        process::must(&mut get(&["install", package]))?;
    }
    let found = process::find(program);
    ensure!(found.is_some(), "the package {package} did not bring {program}");
    Ok(found.map_or_else(|| Availability::Missing(program.to_owned()), Availability::Ready))
}

fn get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-qq", "-y", "-o", "Dpkg::Use-Pty=0", "--no-install-recommends"])
        .args(arguments);
    command
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
