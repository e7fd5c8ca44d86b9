//! What happens when. Times are seconds from the start of the load.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use roadstead_loadgen::Record;

use super::fleet::Fleet;
use super::load::Load;
use crate::plain_http::Asked;

/// When the fault begins.
pub const BEGIN_S: f64 = 4.0;
/// How often the picking counters are read.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const PICKED: &str = "llm_d_epp_scheduler_attempts_total{";

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    Control,
    Killed,
    Stopped,
    Failing,
}

/// How the runs are made.
pub struct Bench<'a> {
    pub binary: &'a Path,
    pub policy: &'a str,
    pub rate: f64,
}

/// What one run showed.
#[derive(Clone)]
pub struct Seen {
    pub story: Story,
    /// The server with the fault.
    pub first: String,
    pub records: Vec<Record>,
    /// Endpoints that each request was sent to, by its index.
    pub tries: HashMap<u64, u32>,
    /// Picks of the first server so far, by time.
    pub picks: Vec<(f64, f64)>,
    /// When the fault really began and ended.
    pub begun_s: f64,
    pub ended_s: f64,
}

impl Story {
    /// When the fault ends, and the load after it.
    pub fn end_s(self) -> (f64, f64) {
        match self {
            Story::Control | Story::Stopped => (BEGIN_S + 9.0, BEGIN_S + 14.0),
            Story::Killed => (BEGIN_S + 3.0, BEGIN_S + 8.0),
            Story::Failing => (BEGIN_S + 6.0, BEGIN_S + 14.0),
        }
    }
}

impl Bench<'_> {
    /// Plays one story on a fresh fleet.
    ///
    /// # Errors
    /// Something could not be started, told or read.
    pub fn play(&self, story: Story) -> anyhow::Result<Seen> {
        let mut fleet = Fleet::start(self.binary, self.policy)?;
        let (fault_end_s, load_end_s) = story.end_s();
        let load = Load::begin(fleet.address, self.rate, Duration::from_secs_f64(load_end_s))?;
        let (stop, stopped) = mpsc::channel();
        let watch = watch_picks(fleet.admin, fleet.first(), load.start, stopped);
        let now_s = || load.start.elapsed().as_secs_f64();
        sleep_until(load.start, BEGIN_S);
        let begun_s = now_s();
        match story {
            Story::Control => {}
            Story::Killed => fleet.kill_first(),
            Story::Stopped => fleet.signal_first("STOP")?,
            Story::Failing => fleet.fault_first(r#"{"status":500}"#)?,
        }
        sleep_until(load.start, fault_end_s);
        let ended_s = now_s();
        match story {
            Story::Control => {}
            Story::Killed => fleet.restart_first()?,
            Story::Stopped => fleet.signal_first("CONT")?,
            Story::Failing => fleet.fault_first("{}")?,
        }
        let records = load.end()?;
        drop(stop);
        let picks = watch.join().map_err(|_| anyhow::anyhow!("the watch ended early"))??;
        let first = fleet.first();
        Ok(Seen { story, first, records, tries: fleet.stop()?, picks, begun_s, ended_s })
    }
}

impl Seen {
    /// Picks of the first server up to `at_s`.
    pub fn picks_until(&self, at_s: f64) -> f64 {
        self.picks.iter().take_while(|(look_s, _)| *look_s <= at_s).last().map_or(0.0, |(_, picks)| *picks)
    }
}

/// Reads how often the gateway picked `endpoint`, until the other end of `stopped` is gone.
fn watch_picks(
    admin: SocketAddr,
    endpoint: String,
    start: Instant,
    stopped: mpsc::Receiver<()>,
) -> JoinHandle<anyhow::Result<Vec<(f64, f64)>>> {
    std::thread::spawn(move || {
        let mut admin = Asked::new(admin);
        let label = format!("endpoint_name=\"{endpoint}\"");
        let mut picks = Vec::new();
        while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_INTERVAL) {
            let page = admin.get("/metrics")?.body;
            let count: f64 = page
                .lines()
                .filter(|line| line.starts_with(PICKED) && line.contains(&label))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum();
            picks.push((start.elapsed().as_secs_f64(), count));
        }
        Ok(picks)
    })
}

fn sleep_until(start: Instant, at_s: f64) {
    sleep((start + Duration::from_secs_f64(at_s)).saturating_duration_since(Instant::now()));
}
