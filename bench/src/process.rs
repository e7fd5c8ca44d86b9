//! Child processes of a measurement: started, watched by pid, and gone when the value is dropped.
//!
//! Every subcommand starts what it compares through this module. CPU and memory are read from `/proc`, so a figure
//! belongs to one process and never to the machine. Linux only.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use roadstead_net::Listener;

/// How long a child may take to listen.
const READY_MAX: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(20);

/// A running child.
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command` without input; its output goes where the command says.
    ///
    /// # Errors
    /// The program could not be started.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Process> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", command.get_program().display()))?;
        Ok(Process { name: name.to_owned(), child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// User and system time of all its threads so far.
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).with_context(|| self.name.clone())?;
        for task in tasks {
            // A thread may end between the listing and the reading.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanos += text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Resident memory, bytes.
    ///
    /// # Errors
    /// The process is gone.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory so far, bytes.
    ///
    /// # Errors
    /// The process is gone.
    pub fn resident_peak_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// Waits until something listens at `address`.
    ///
    /// # Errors
    /// The process ended, or nothing listens in time.
    pub fn wait_listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        while TcpStream::connect_timeout(&address, READY_POLL).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it listened", self.name);
            }
            if Instant::now() > deadline {
                bail!("{} does not listen on {address}", self.name);
            }
            sleep(READY_POLL);
        }
        Ok(())
    }

    fn status_bytes(&self, field: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .with_context(|| format!("{} is gone", self.name))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.with_context(|| format!("no {field} of {}", self.name))? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that was free a moment ago.
///
/// # Errors
/// No port is free.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    Ok(Listener::bind((Ipv4Addr::LOCALHOST, 0).into())?.local_addr()?)
}

/// Where the program `name` is, if it is installed.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The roadstead binary: as given, else beside this one.
///
/// # Errors
/// There is none.
pub fn roadstead(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("roadstead");
    let path = given.map_or(beside, Path::to_path_buf);
    if !path.is_file() {
        bail!(
            "no {}: build it with `cargo build --release`, or say where it is with --roadstead",
            path.display()
        );
    }
    Ok(path)
}
