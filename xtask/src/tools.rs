//! `cargo xtask tools`: what the tests and benchmarks use besides cargo.
//!
//! Tools of our own choosing go to `target/tools`, with pinned versions; programs of the system come from apt, which
//! needs root. Where a tool cannot be installed, the caller learns why and skips what needs it.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process;

mod apt;
mod cargo_fuzz;
mod python;

/// What `cargo xtask tools` takes.
#[derive(clap::Args)]
pub struct Options {
    /// Only these tools (all by default)
    names: Vec<String>,
    /// Says which tools exist and which are installed, and ends
    #[arg(long)]
    list: bool,
}

/// Whether a tool can be used, and where it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Availability {
    Ready(PathBuf),
    /// Why not, and what a person can do about it.
    Missing(String),
}

/// Something to install.
pub struct Tool {
    pub name: &'static str,
    about: &'static str,
    find: fn() -> Option<PathBuf>,
    install: fn() -> Result<Availability>,
}

/// The Python of an environment that holds the `openai` client.
pub const OPENAI: Tool = Tool {
    name: "openai",
    about: "a Python environment with the openai client, for the client test",
    find: python::find_openai,
    install: python::install_openai,
};

/// The `cargo-fuzz` program.
pub const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    about: "builds and runs the fuzz targets",
    find: cargo_fuzz::find,
    install: cargo_fuzz::install,
};

/// A C++ compiler, for libFuzzer.
pub const CXX: Tool = Tool {
    name: "c++",
    about: "a C++ compiler: cargo-fuzz builds libFuzzer with it",
    find: || ["c++", "g++", "clang++"].into_iter().find_map(process::find),
    install: || apt::install("g++", "c++"),
};

const TOOLS: &[Tool] = &[
    OPENAI,
    CARGO_FUZZ,
    CXX,
    Tool {
        name: "nginx",
        about: "the proxy that benchmarks compare with",
        find: || process::find("nginx"),
        install: || apt::install("nginx-light", "nginx"),
    },
    Tool {
        name: "wrk",
        about: "HTTP/1.1 load, independent of our own generator",
        find: || process::find("wrk"),
        install: || apt::install("wrk", "wrk"),
    },
    Tool {
        name: "h2load",
        about: "HTTP/2 load, independent of our own generator",
        find: || process::find("h2load"),
        install: || apt::install("nghttp2-client", "h2load"),
    },
];

impl Tool {
    /// Finds the tool or installs it.
    pub fn ensure(&self) -> Result<Availability> {
        match (self.find)() {
            Some(path) => Ok(Availability::Ready(path)),
            None => (self.install)(),
        }
    }
}

/// Installs the tools. True when all are there.
pub fn run(options: &Options) -> Result<bool> {
    if let Some(unknown) = options.names.iter().find(|name| TOOLS.iter().all(|tool| tool.name != **name)) {
        bail!("no tool is called {unknown:?}: see --list");
    }
    let wanted =
        |tool: &&Tool| options.names.is_empty() || options.names.iter().any(|name| name == tool.name);
    let mut complete = true;
    for tool in TOOLS.iter().filter(wanted) {
        let state = if options.list {
            (tool.find)().map_or_else(|| "not installed".to_owned(), |path| path.display().to_string())
        } else {
            match tool.ensure()? {
                Availability::Ready(path) => path.display().to_string(),
                Availability::Missing(why) => {
                    complete = false;
                    why
                }
            }
        };
        println!("{:<11} {state}\n            {}", tool.name, tool.about);
    }
    Ok(complete)
}

/// Installs a Debian package whose program is not there, for set-up steps outside the list of tools.
pub fn package(package: &str, program: &str) -> Result<Availability> {
    apt::install(package, program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, tool) in TOOLS.iter().enumerate() {
            assert!(TOOLS[..i].iter().all(|other| other.name != tool.name), "{} stands twice", tool.name);
        }
    }

    #[test]
    fn what_is_there_is_not_installed_again() {
        let shell = Tool {
            name: "sh",
            about: "a shell",
            find: || process::find("sh"),
            install: || panic!("it is there already"),
        };
        assert_eq!(shell.ensure().unwrap(), Availability::Ready(process::find("sh").unwrap()));
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        assert!(run(&Options { names: vec!["no-such-tool".to_owned()], list: true }).is_err());
    }
}
