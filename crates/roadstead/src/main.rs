//! The `roadstead` binary: the only place where parts meet. It reads the command line, checks it, starts what was
//! asked for, waits for a signal and drains.

mod admin;
mod bench;
mod cli;
mod gateway;
mod ports;
mod serve;
mod signals;
mod sim;
mod status_line;
mod up;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Up(args) => up::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Sim(args) => sim::run(args),
        Command::Bench(args) => bench::run(*args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("roadstead: {error:#}");
            ExitCode::FAILURE
        }
    }
}
