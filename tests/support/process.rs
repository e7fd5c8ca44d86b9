//! Child processes: their lines, their signals, their ends. What a story starts dies with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::until;

/// A child process in a process group of its own.
pub struct Process {
    child: Child,
    group: String,
    out: Lines,
    err: Lines,
}

/// The lines that came so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Process {
    /// The binary under test.
    pub fn roadstead<S: AsRef<str>>(args: &[S]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead"));
        command.args(args.iter().map(AsRef::as_ref)).env("RUST_BACKTRACE", "1");
        Process::start(&mut command)
    }

    /// Any command.
    pub fn start(command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let out = Lines::of(child.stdout.take().unwrap());
        let err = Lines::of(child.stderr.take().unwrap());
        let group = format!("-{}", child.id());
        Process { child, group, out, err }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lines on its standard output.
    pub fn out(&self) -> &Lines {
        &self.out
    }

    /// Lines on its standard error.
    pub fn err(&self) -> &Lines {
        &self.err
    }

    /// Sends it a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        assert!(signal(name, &self.id().to_string()), "no process {} to send {name} to", self.id());
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        // Those that it started first.
        signal("KILL", &self.group);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end, and the end of what it says.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", || {
            status = self.child.try_wait().unwrap();
            std::future::ready(status.is_some())
        })
        .await;
        let read = || std::future::ready(self.out.is_complete() && self.err.is_complete());
        until("its output ends", read).await;
        status.unwrap()
    }

    /// The first line that begins with `start`, on either output, without it. Fails where the process ends before.
    pub async fn says(&mut self, start: &str) -> String {
        let mut found = None;
        let (out, err) = (self.out.clone(), self.err.clone());
        until(&format!("it says {start:?}"), || {
            let ended = self.child.try_wait().unwrap();
            let complete = out.is_complete() && err.is_complete();
            found = out.beginning(start).or_else(|| err.beginning(start));
            if found.is_none()
                && complete
                && let Some(ended) = ended
            {
                panic!("{ended} before it said {start:?}:\n{}{}", out.text(), err.text());
            }
            std::future::ready(found.is_some())
        })
        .await;
        found.unwrap()
    }

    /// Memory that it holds now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let mut to = std::io::stderr();
            let _ = writeln!(to, "--- {:?}\n{}", self.id(), self.err.tail(20));
        }
    }
}

impl Lines {
    /// Reads `from` to its end in the background. An empty last line marks the end.
    fn of(from: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let to = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                to.0.lock().push(String::from_utf8_lossy(&line).into_owned());
            }
            to.0.lock().push(END.to_owned());
        });
        lines
    }

    /// Those so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().iter().filter(|line| *line != END).cloned().collect()
    }

    /// Those so far, as one text.
    pub fn text(&self) -> String {
        self.all().iter().map(|line| format!("{line}\n")).collect()
    }

    fn tail(&self, count: usize) -> String {
        let all = self.all();
        all[all.len().saturating_sub(count)..].join("\n")
    }

    fn beginning(&self, start: &str) -> Option<String> {
        let lines = self.0.lock();
        lines.iter().find_map(|line| line.strip_prefix(start)).map(|rest| rest.trim().to_owned())
    }

    fn is_complete(&self) -> bool {
        self.0.lock().last().is_some_and(|line| line == END)
    }
}

/// Stands for the end of an output; no process writes it.
const END: &str = "\u{0}end";

/// Runs a line in `bash`, for at most a minute. What it wrote, and whether it succeeded.
pub async fn shell(line: &str) -> (bool, String) {
    let mut process = Process::start(Command::new("bash").args(["-c", line]));
    let status = process.ended().await;
    (status.success(), process.out().text())
}

/// The shell's own `kill`: always there, and no foreign code for it.
fn signal(name: &str, to: &str) -> bool {
    let line = format!("kill -s {name} -- {to}");
    let status = Command::new("bash").args(["-c", &line]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A duration in milliseconds, for messages.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
