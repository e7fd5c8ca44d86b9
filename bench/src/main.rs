//! Reproducible figures: each subcommand starts what it compares, measures both in one run, and prints ratios.
//!
//! `cargo run --release -p roadstead-bench -- NAME`; results and how to read them stand in `bench/README.md`.

mod backend;
mod faults;
mod front;
mod memory;
mod pick;
mod plain_http;
mod process;
mod proxy;
mod report;
mod scrape;
mod sessions;
mod stream;
mod traffic;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Figures of Roadstead beside its peers, as ratios in one run.
#[derive(Parser)]
#[command(name = "roadstead-bench", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// CPU per request and added latency, beside nginx and a direct connection.
    Proxy(proxy::Args),
    /// CPU per chunk of paced streams, beside nginx.
    Stream(stream::Args),
    /// Cost of scraping many endpoints.
    Scrape(scrape::Args),
    /// Cost of a decision, beside round-robin.
    Pick(pick::Args),
    /// Resident memory idle, with streams, and after unique prompts, beside nginx.
    Memory(memory::Args),
    /// Multi-turn sessions: time to first token beside hashing by session and beside other policies.
    Sessions(sessions::Args),
    /// Killed, stopped and failing servers under load.
    Faults(faults::Args),
    /// The model servers that the other commands start: instant or paced answers and a captured metrics page.
    #[command(hide = true)]
    Backend(backend::Args),
}

/// What all commands take.
#[derive(clap::Args)]
struct Common {
    /// The roadstead binary; the one beside this binary unless given.
    #[arg(long, value_name = "PATH")]
    roadstead: Option<PathBuf>,
    /// Also writes the figures there, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Proxy(args) => proxy::run(&args),
        Command::Stream(args) => stream::run(&args),
        Command::Scrape(args) => scrape::run(&args),
        Command::Pick(args) => pick::run(&args),
        Command::Memory(args) => memory::run(&args),
        Command::Sessions(args) => sessions::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Backend(args) => backend::run(&args),
    }
}
