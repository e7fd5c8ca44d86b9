//! `cargo xtask`: the checks, the tests and the tools of this repository.
//!
//! One file per subcommand. Continuous integration calls the same commands as a contributor and nothing else.
//! Always holds: a subcommand that finds a fault ends with a non-zero status and says which.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod lint;
mod process;
mod source;
mod test;
mod tools;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Checks, tests and tools of Roadstead")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks style, structure and dependencies
    Lint(lint::Options),
    /// Runs every test, after installing whatever the tests need
    Test(test::Options),
    /// Installs what the tests and benchmarks use besides cargo
    Tools(tools::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Lint(options) => lint::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Tools(options) => tools::run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
