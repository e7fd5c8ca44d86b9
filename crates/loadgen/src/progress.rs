//! What a run shows while it goes on.

use crate::record::Record;
use crate::report::Stage;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Hears of a run's progress. Called from the collector: it must return at once.
pub trait Progress {
    /// A stage begins.
    fn stage(&mut self, stage: &Stage);
    /// A request has ended.
    fn finished(&mut self, record: &Record);
    /// The run is over.
    fn end(&mut self);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn stage(&mut self, _: &Stage) {}
    fn finished(&mut self, _: &Record) {}
    fn end(&mut self) {}
}

/// One line on standard error for the running stage; nothing when that is not a terminal.
#[derive(Debug)]
pub struct Bar {
    line: ProgressBar,
    failed: u64,
}

impl Bar {
    /// A line that is not yet shown.
    pub fn new() -> Self {
        Self { line: ProgressBar::hidden(), failed: 0 }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Bar {
    fn stage(&mut self, stage: &Stage) {
        self.line.finish_and_clear();
        let (line, template) = match stage.expected {
            Some(expected) => (ProgressBar::new(expected), "{prefix} {elapsed} {wide_bar} {pos}/{len} {msg}"),
            None => (ProgressBar::new_spinner(), "{prefix} {elapsed} {pos} done {msg}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.line = line.with_style(style).with_prefix(stage.label.clone());
        self.line.enable_steady_tick(Duration::from_millis(500));
        self.failed = 0;
    }

    fn finished(&mut self, record: &Record) {
        self.line.inc(1);
        if let Some(class) = record.error {
            self.failed += 1;
            self.line.set_message(format!("{} failed, last: {class}", self.failed));
        }
    }

    fn end(&mut self) {
        self.line.finish_and_clear();
    }
}
