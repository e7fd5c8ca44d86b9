//! Running other programs, and where this repository's folders are.
//!
//! Every command is printed before it runs, so that a person can run it alone.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The root of the repository.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies one folder below the root").to_path_buf()
}

/// Where tools are installed: inside the repository's ignored build folder, whatever `CARGO_TARGET_DIR` says, so that
/// they survive a change of that variable.
pub fn tools_dir() -> PathBuf {
    root().join("target").join("tools")
}

/// The cargo that started us.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Prints a command the way a person would type it.
pub fn announce(command: &Command) {
    let word = |text: &OsStr| text.to_string_lossy().into_owned();
    let program = Path::new(command.get_program()).file_name().map(word).unwrap_or_default();
    let words: Vec<String> = std::iter::once(program).chain(command.get_args().map(word)).collect();
    println!("$ {}", words.join(" "));
}

/// Runs a command with our own input and output. True when it succeeded.
pub fn succeeds(command: &mut Command) -> Result<bool> {
    announce(command);
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    Ok(status.success())
}

/// Runs a command that must succeed.
pub fn must(command: &mut Command) -> Result<()> {
    ensure!(succeeds(command)?, "{:?} failed", command.get_program());
    Ok(())
}

/// Runs a command that must succeed, silently, and returns what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let run = command.stderr(Stdio::inherit()).output();
    let run = run.with_context(|| format!("cannot run {:?}", command.get_program()))?;
    ensure!(run.status.success(), "{:?} failed", command.get_program());
    String::from_utf8(run.stdout)
        .with_context(|| format!("{:?} printed something that is not text", command.get_program()))
}

/// Runs a command silently and says only whether it succeeded; a program that does not exist did not.
pub fn probe(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The first folder of `PATH` (or of Debian's folders for daemons) that holds this program.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut places = env::split_paths(&path).chain(daemons).map(|folder| folder.join(program));
    places.find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_neither_succeeds_nor_is_found() {
        assert!(!probe(&mut Command::new("no-such-program-here")));
        assert_eq!(find("no-such-program-here"), None);
        assert!(find("sh").is_some());
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("crates").is_dir());
    }
}
