//! One arm with real processes: fresh servers, a front, and `roadstead bench` as the load.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::arm::Arm;
use super::figures::{Answered, Beside, Cores, Figures};
use super::nginx;
use super::occupancy::Occupancy;
use super::scenario::{Point, Scenario};
use crate::plain_http::wait_ready;
use crate::process::{Process, free_address};

/// Exit status of the load when its generator did not keep up.
const LAGGED: i32 = 2;

/// Where things are.
pub struct Place<'a> {
    /// The roadstead binary.
    pub binary: &'a Path,
    /// First port of the servers.
    pub port: u16,
}

/// A line of `--records`, as far as it is read here.
#[derive(Deserialize)]
struct Line {
    session: u64,
    intended_s: f64,
    end_s: f64,
    error: Option<String>,
    ttft_ms: Option<f64>,
    prompt_tokens: Option<u32>,
    output_tokens: u32,
}

/// Files of one arm; removed at the end.
struct Folder(PathBuf);

/// Plays one arm.
///
/// # Errors
/// Something did not start, or the load failed.
pub fn play(
    scenario: &Scenario,
    point: &Point,
    arm: Arm,
    seed: u64,
    place: Place,
) -> anyhow::Result<Figures> {
    let folder = Folder::create()?;
    let addresses: Vec<SocketAddr> =
        (0..scenario.servers).map(|server| (Ipv4Addr::LOCALHOST, place.port + server).into()).collect();
    let servers = start_servers(scenario, &place, &addresses, seed)?;
    let address = free_address()?;
    let front = match arm.policy() {
        Some(policy) => start_gateway(place.binary, policy, address, &addresses)?,
        None => nginx::start(address, &addresses, &folder.0)?,
    };
    let wall = |seconds: f64| Duration::from_secs_f64(seconds * scenario.time_scale);
    let occupancy = Occupancy::watch(addresses, wall(scenario.warmup_s), wall(scenario.measured_s));
    let (begun, before) = (Instant::now(), (servers.cpu()?, front.cpu()?));
    let records = folder.0.join("records");
    let load_kept_up = load(scenario, point, seed, (place.binary, address, &records))?;
    let spent = |process: &Process, before: Duration| -> anyhow::Result<f64> {
        Ok((process.cpu()? - before).as_secs_f64() / begun.elapsed().as_secs_f64())
    };
    let cores = Some(Cores { servers: spent(&servers, before.0)?, front: spent(&front, before.1)? });
    let (answered, failed) = read(&records, scenario, point)?;
    let watched = occupancy.end()?;
    let beside =
        Beside { failed, busy: watched.busy, cached_share: watched.cached_share, cores, load_kept_up };
    Ok(Figures::of(scenario, point, arm, seed, (&answered, beside)))
}

fn start_servers(
    scenario: &Scenario,
    place: &Place,
    addresses: &[SocketAddr],
    seed: u64,
) -> anyhow::Result<Process> {
    let mut command = Command::new(place.binary);
    command.args(["sim", "--preset", &scenario.preset, "--log", "warn"]);
    command.args(["--port", &place.port.to_string(), "--replicas", &addresses.len().to_string()]);
    command.args(["--time-scale", &scenario.time_scale.to_string(), "--seed", &seed.to_string()]);
    let mut process = Process::start("the servers", command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    for &address in addresses {
        process.wait_listening(address)?;
    }
    Ok(process)
}

fn start_gateway(
    binary: &Path,
    policy: &str,
    address: SocketAddr,
    servers: &[SocketAddr],
) -> anyhow::Result<Process> {
    let mut command = Command::new(binary);
    command.args(["serve", "--policy", policy, "--access-log", "off", "--log", "error"]);
    command.args(["--port", &address.port().to_string()]);
    let admin = free_address()?;
    command.args(["--admin-port", &admin.port().to_string()]);
    command.args(servers.iter().map(|server| format!("http://{server}")));
    let mut process = Process::start("the gateway", command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    process.wait_listening(address)?;
    wait_ready(admin)?;
    Ok(process)
}

/// Sends the load; whether its generator kept up.
fn load(
    scenario: &Scenario,
    point: &Point,
    seed: u64,
    (binary, address, records): (&Path, SocketAddr, &Path),
) -> anyhow::Result<bool> {
    let wall = |seconds: f64| format!("{:.0}us", seconds * scenario.time_scale * 1e6);
    let options = [
        ("--url", format!("http://{address}")),
        ("--api", "chat".to_owned()),
        ("--sessions", point.sessions.to_string()),
        ("--session-ramp", wall(scenario.ramp_s)),
        ("--arrivals", "poisson".to_owned()),
        ("--turns", scenario.turns.to_string()),
        ("--think", format!("exp:{}", wall(point.think_s))),
        ("--system-tokens", scenario.system_tokens.to_string()),
        ("--first-tokens", Scenario::law(scenario.first_tokens)),
        ("--question-tokens", Scenario::law(scenario.turn_tokens)),
        ("--output-tokens", Scenario::law(scenario.answer_tokens)),
        ("--duration", wall(scenario.end_s())),
        ("--warmup", wall(scenario.warmup_s)),
        ("--seed", seed.to_string()),
        ("--records", records.display().to_string()),
    ];
    let mut command = Command::new(binary);
    command.arg("bench").arg("--sessions-under-way");
    for (name, value) in options {
        command.args([name, &value]);
    }
    let output = command.stdin(Stdio::null()).output()?;
    let code = output.status.code();
    ensure!(
        code == Some(0) || code == Some(LAGGED),
        "the load ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(code == Some(0))
}

/// What was answered, in the servers' time, and how much was not.
fn read(records: &Path, scenario: &Scenario, point: &Point) -> anyhow::Result<(Vec<Answered>, usize)> {
    let (mut answered, mut failed) = (Vec::new(), 0);
    let file = File::open(records).with_context(|| records.display().to_string())?;
    for line in BufReader::new(file).lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let (None, Some(ttft_ms), Some(prompt_tokens)) = (&line.error, line.ttft_ms, line.prompt_tokens)
        else {
            failed += 1;
            continue;
        };
        answered.push(Answered {
            client: line.session % u64::from(point.sessions),
            sent_s: line.intended_s / scenario.time_scale,
            end_s: line.end_s / scenario.time_scale,
            ttft_ms: ttft_ms / scenario.time_scale,
            prompt_tokens,
            output_tokens: line.output_tokens,
        });
    }
    Ok((answered, failed))
}

impl Folder {
    fn create() -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("roadstead-bench-sessions-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
