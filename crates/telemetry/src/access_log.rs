//! The access log: one line a request, written by a thread of its own.
//!
//! The request's path formats its line into a scratch buffer and appends it to a bounded one: about a
//! microsecond, no system call. The writer thread takes the buffer as a whole, at most every
//! `WRITE_INTERVAL`. When it cannot keep up, lines are dropped and counted; a request never waits.

mod entry;
mod writer;

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;

pub use entry::AccessEntry;
use writer::Shared;

use crate::logs::LogFormat;

/// Most bytes of lines that wait for the writer; lines beyond it are dropped.
pub const BUFFER_BYTES_MAX: usize = 1 << 20;
/// How long lines gather before they are written.
pub const WRITE_INTERVAL: Duration = Duration::from_millis(20);

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Where access-log lines go. Cheap to clone; the last clone's drop lets the writer finish in the background,
/// [`AccessLog::finish`] waits for it.
#[derive(Clone, Debug)]
pub struct AccessLog {
    sink: Option<Arc<Sink>>,
}

#[derive(Debug)]
struct Sink {
    shared: Arc<Shared>,
    json: bool,
}

impl AccessLog {
    /// Lines to standard output, text or JSON by `format`.
    pub fn stdout(format: LogFormat) -> AccessLog {
        let json = format.json(io::stdout().is_terminal());
        AccessLog::to(Box::new(io::stdout()), json)
    }

    /// No lines; writing costs one comparison.
    pub fn disabled() -> AccessLog {
        AccessLog { sink: None }
    }

    /// Lines to `writer`, which only the writer thread touches.
    pub fn to(writer: Box<dyn Write + Send>, json: bool) -> AccessLog {
        AccessLog { sink: Some(Arc::new(Sink { shared: writer::start(writer), json })) }
    }

    /// Registers the counter of dropped lines.
    pub fn register(&self, own: &mut Registry) {
        if let Some(sink) = &self.sink {
            own.register(
                "access_log_dropped",
                "Access-log lines dropped because the writer was behind",
                sink.shared.dropped.clone(),
            );
        }
    }

    /// Whether lines go anywhere; lets callers skip what only the log needs.
    pub fn enabled(&self) -> bool {
        self.sink.is_some()
    }

    /// Queues one line. Never blocks on the writer.
    pub fn write(&self, entry: &AccessEntry<'_>) {
        let Some(sink) = &self.sink else { return };
        LINE.with_borrow_mut(|line| {
            line.clear();
            if sink.json {
                entry.json(line)
            } else {
                entry.text(line)
            }
            sink.shared.push(line.as_bytes());
        });
    }

    /// Lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.sink.as_ref().map_or(0, |sink| sink.shared.dropped.get())
    }

    /// Writes what is queued, ends the writer thread, and waits for that up to `patience`. Lines written
    /// afterwards are dropped. False when time ran out first.
    pub fn finish(&self, patience: Duration) -> bool {
        self.sink.as_ref().is_none_or(|sink| sink.shared.finish(patience))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests;
