//! A Python environment under `target/tools` with what `tests/tools/openai/requirements.txt` pins.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Availability, apt};
use crate::process;

const REQUIREMENTS: &str = "tests/tools/openai/requirements.txt";

/// The environment's Python, when it holds exactly the pinned packages.
pub fn find_openai() -> Option<PathBuf> {
    let wanted = fs::read_to_string(process::root().join(REQUIREMENTS)).ok()?;
    let installed = fs::read_to_string(stamp()).ok()?;
    let python = python();
    (installed == wanted && process::probe(Command::new(&python).args(["-c", "import openai"])))
        .then_some(python)
}

/// Makes the environment anew.
pub fn install_openai() -> Result<Availability> {
    let Some(system) = system_python()? else {
        let why = "Python 3 with venv is missing: install it (Debian: apt-get install python3-venv)";
        return Ok(Availability::Missing(why.to_owned()));
    };
    let requirements = process::root().join(REQUIREMENTS);
    process::must(Command::new(system).args(["-m", "venv", "--clear"]).arg(folder()))?;
    let mut pip = Command::new(python());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&requirements);
    process::must(&mut pip)?;
    // Written last: an environment without it is incomplete.
    fs::copy(&requirements, stamp()).context("cannot write into the Python environment")?;
    Ok(Availability::Ready(python()))
}

fn folder() -> PathBuf {
    process::tools_dir().join("openai")
}

fn python() -> PathBuf {
    folder().join("bin").join("python")
}

fn stamp() -> PathBuf {
    folder().join("installed.txt")
}

/// A Python that can make environments. Debian ships `ensurepip` apart, without which `venv` makes broken ones.
fn system_python() -> Result<Option<PathBuf>> {
    let usable = || {
        let path = process::find("python3")?;
        process::probe(Command::new(&path).args(["-c", "import venv, ensurepip"])).then_some(path)
    };
    if let Some(path) = usable() {
        return Ok(Some(path));
    }
    match apt::install("python3-venv", "python3")? {
        Availability::Ready(_) => Ok(usable()),
        Availability::Missing(_) => Ok(None),
    }
}
