//! The load, in a thread of this process, with the clock of the story.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use roadstead_loadgen::report::Stage;
use roadstead_loadgen::{BenchArgs, Progress, Record};

/// Prompt and answer of a request.
const PROMPT_TOKENS: u32 = 100;
const ANSWER_TOKENS: u32 = 50;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    bench: BenchArgs,
}

/// A running load.
pub struct Load {
    /// When it began, within a few milliseconds.
    pub start: Instant,
    thread: JoinHandle<anyhow::Result<Vec<Record>>>,
}

/// Keeps every record and says when the load begins.
struct Keep {
    begun: mpsc::Sender<Instant>,
    records: mpsc::Sender<Record>,
}

impl Progress for Keep {
    fn stage(&mut self, _: &Stage) {
        // Nobody listens only after an error that is reported anyway.
        let _ = self.begun.send(Instant::now());
    }

    fn finished(&mut self, record: &Record) {
        let _ = self.records.send(record.clone());
    }

    fn end(&mut self) {}
}

impl Load {
    /// Begins to send streams at `rate` for `span`.
    ///
    /// # Errors
    /// The load cannot begin.
    pub fn begin(address: SocketAddr, rate: f64, span: Duration) -> anyhow::Result<Load> {
        let command = CommandLine::try_parse_from([
            "load".to_owned(),
            format!("--url=http://{address}"),
            "--api=chat".to_owned(),
            format!("--rate={rate}"),
            format!("--duration={}ms", span.as_millis()),
            format!("--input-tokens={PROMPT_TOKENS}"),
            format!("--output-tokens={ANSWER_TOKENS}"),
            "--timeout=30s".to_owned(),
        ])?;
        let plan = command.bench.into_plan()?;
        let (begun, start) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (sender, records) = mpsc::channel();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let keep = Keep { begun, records: sender };
            runtime.block_on(roadstead_loadgen::run(&plan, Default::default(), keep))?;
            Ok(records.into_iter().collect())
        });
        Ok(Load { start: start.recv().context("the load did not begin")?, thread })
    }

    /// Waits for the last answer.
    ///
    /// # Errors
    /// The load failed.
    pub fn end(self) -> anyhow::Result<Vec<Record>> {
        self.thread.join().map_err(|_| anyhow::anyhow!("the load ended early"))?
    }
}
