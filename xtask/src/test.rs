//! `cargo xtask test`: every test of the repository, after installing whatever the tests need.
//!
//! That is `cargo test` over the workspace (units, properties, documentation, whole-binary stories) and a short run of
//! every fuzz target. What cannot run on this machine is skipped and counted as skipped.
//! The last line is a count over everything: `N passed, N failed, N skipped`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;
use crate::tools::{self, Availability};
use count::Counts;

mod count;
mod fuzz;

/// Tells the client test which Python to use.
const PYTHON_VARIABLE: &str = "ROADSTEAD_PYTHON";
/// Tells the real-vLLM story where the folder is that `tests/tools/real-vllm/setup` made.
const REAL_VLLM_VARIABLE: &str = "ROADSTEAD_REAL_VLLM";
/// The test target of the real-vLLM story.
const REAL_VLLM_TARGET: &str = "real_vllm";

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub struct Options {
    /// Only tests and fuzz targets whose name contains this
    filter: Option<String>,
    /// Runs only the story with two real vLLM servers, from this folder; sets it up first (6.5 GB, minutes)
    #[arg(long, value_name = "DIR", conflicts_with = "filter")]
    real_vllm: Option<PathBuf>,
    /// Leaves the fuzz targets out
    #[arg(long)]
    no_fuzz: bool,
    /// How long each fuzz target runs
    #[arg(long, value_name = "N", default_value_t = 10)]
    fuzz_seconds: u32,
}

/// Runs the tests. True when at least one ran and none failed.
pub fn run(options: &Options) -> Result<bool> {
    let counts = match &options.real_vllm {
        Some(dir) => real_vllm(dir)?,
        None => {
            let mut counts = workspace(options.filter.as_deref())?;
            if !options.no_fuzz {
                counts += fuzz::run(options.fuzz_seconds, options.filter.as_deref())?;
            }
            counts
        }
    };
    if counts.passed + counts.failed == 0 {
        println!("no test ran");
    }
    println!();
    for note in &counts.notes {
        println!("{note}");
    }
    println!("{counts}");
    Ok(counts.failed == 0 && counts.passed > 0)
}

fn workspace(filter: Option<&str>) -> Result<Counts> {
    let mut command = process::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).args(filter);
    match tools::OPENAI.ensure()? {
        Availability::Ready(python) => {
            command.env(PYTHON_VARIABLE, python);
        }
        Availability::Missing(why) => println!("the test with the Python client will be skipped: {why}"),
    }
    count::tests(&mut command)
}

fn real_vllm(dir: &Path) -> Result<Counts> {
    // The only Python that vLLM's wheel is built for; the set-up script says what to do where there is none.
    if process::find("python3.11").is_none() && !dir.join("ready").is_file() {
        let _ = tools::package("python3.11-venv", "python3.11");
    }
    let setup = process::root().join("tests/tools/real-vllm/setup");
    process::must(std::process::Command::new(setup).arg(dir))?;
    let dir = dir.canonicalize().with_context(|| format!("cannot open {}", dir.display()))?;
    let mut command = process::cargo();
    command.args([
        "test",
        "-p",
        "roadstead",
        "--test",
        REAL_VLLM_TARGET,
        "--",
        "--include-ignored",
        "--nocapture",
    ]);
    count::tests(command.env(REAL_VLLM_VARIABLE, dir))
}
