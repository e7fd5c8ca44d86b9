//! Four servers, each a process of its own, and a gateway that logs every request.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::plain_http::{Asked, wait_ready};
use crate::process::{Process, free_address};

const SERVERS: usize = 4;

/// What runs. The first server is the one that gets the faults.
pub struct Fleet {
    binary: PathBuf,
    addresses: Vec<SocketAddr>,
    servers: Vec<Option<Process>>,
    gateway: Option<Process>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    log: PathBuf,
}

/// A line of the access log, as far as it is read here.
#[derive(Deserialize)]
struct Line {
    request_id: String,
    attempts: u32,
}

impl Fleet {
    /// Starts everything and waits until the gateway is ready.
    ///
    /// # Errors
    /// Something did not start.
    pub fn start(binary: &Path, policy: &str) -> anyhow::Result<Fleet> {
        let addresses = (0..SERVERS).map(|_| free_address()).collect::<anyhow::Result<Vec<_>>>()?;
        let log = std::env::temp_dir().join(format!("roadstead-bench-faults-{}.log", std::process::id()));
        let mut fleet = Fleet {
            binary: binary.to_path_buf(),
            servers: Vec::new(),
            gateway: None,
            address: free_address()?,
            admin: free_address()?,
            addresses,
            log,
        };
        for &address in &fleet.addresses {
            fleet.servers.push(Some(start_server(binary, address)?));
        }
        for (server, &address) in fleet.servers.iter_mut().flatten().zip(&fleet.addresses) {
            server.wait_listening(address)?;
        }
        fleet.start_gateway(policy)?;
        Ok(fleet)
    }

    fn start_gateway(&mut self, policy: &str) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--policy", policy, "--access-log", "on", "--log", "error"]);
        command.args(["--log-format", "json", "--port", &self.address.port().to_string()]);
        command.args(["--admin-port", &self.admin.port().to_string()]);
        command.args(self.addresses.iter().map(|server| format!("http://{server}")));
        let log = File::create(&self.log).with_context(|| self.log.display().to_string())?;
        let mut process = Process::start("the gateway", command.stdout(log).stderr(Stdio::null()))?;
        process.wait_listening(self.address)?;
        self.gateway = Some(process);
        wait_ready(self.admin)
    }

    /// The server that gets the faults, as the gateway names it.
    pub fn first(&self) -> String {
        self.addresses[0].to_string()
    }

    /// Ends the first server at once.
    pub fn kill_first(&mut self) {
        self.servers[0] = None;
    }

    /// Starts the first server again; does not wait for it.
    ///
    /// # Errors
    /// It could not be started.
    pub fn restart_first(&mut self) -> anyhow::Result<()> {
        self.servers[0] = Some(start_server(&self.binary, self.addresses[0])?);
        Ok(())
    }

    /// Sends the first server a signal, such as `STOP`.
    ///
    /// # Errors
    /// It could not be sent.
    pub fn signal_first(&self, signal: &str) -> anyhow::Result<()> {
        let server = self.servers[0].as_ref().context("the first server does not run")?;
        let status =
            Command::new("kill").args([&format!("-{signal}"), &server.pid().to_string()]).status()?;
        ensure!(status.success(), "kill -{signal} ended with {status}");
        Ok(())
    }

    /// Sets the faults of the first server.
    ///
    /// # Errors
    /// It does not take them.
    pub fn fault_first(&self, faults: &str) -> anyhow::Result<()> {
        let answer = Asked::new(self.addresses[0]).post("/sim/faults", faults)?;
        ensure!(answer.status == 200, "faults were answered with {}: {}", answer.status, answer.body);
        Ok(())
    }

    /// Ends everything; gives the number of endpoints that each request was sent to, by the number in its id.
    ///
    /// # Errors
    /// The access log cannot be read.
    pub fn stop(mut self) -> anyhow::Result<HashMap<u64, u32>> {
        if let Some(mut gateway) = self.gateway.take() {
            // A polite end, so that the log is written to its last line.
            Command::new("kill").args(["-TERM", &gateway.pid().to_string()]).status()?;
            gateway.child().wait()?;
        }
        let text = fs::read_to_string(&self.log)?;
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str::<Line>(line).ok())
            .filter_map(|line| {
                let number = line.request_id.rsplit('-').next()?;
                Some((u64::from_str_radix(number, 16).ok()?, line.attempts))
            })
            .collect())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // What is left behind lies in the folder for temporary files.
        let _ = fs::remove_file(&self.log);
    }
}

fn start_server(binary: &Path, address: SocketAddr) -> anyhow::Result<Process> {
    let mut command = Command::new(binary);
    command.args(["sim", "--log", "error", "--port", &address.port().to_string()]);
    Process::start("a server", command.stdout(Stdio::null()).stderr(Stdio::null()))
}
