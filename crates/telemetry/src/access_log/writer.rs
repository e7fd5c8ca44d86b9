//! The thread behind the access log and the bounded buffer before it.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;

use super::{BUFFER_BYTES_MAX, WRITE_INTERVAL};

/// What the request path and the writer thread share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    closed: bool,
    ended: bool,
}

/// Starts the thread. It ends when the buffer is closed and empty.
pub(super) fn start(writer: Box<dyn Write + Send>) -> Arc<Shared> {
    let shared =
        Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), dropped: Counter::default() });
    let of_thread = shared.clone();
    let spawned = thread::Builder::new().name("access-log".to_owned()).spawn(move || of_thread.run(writer));
    if let Err(error) = spawned {
        tracing::error!(%error, "the access log has no writer thread: its lines are dropped");
        let mut state = shared.state.lock();
        state.closed = true;
        state.ended = true;
    }
    shared
}

impl Shared {
    /// Appends a line, or counts it as dropped when the buffer is full or closed.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.closed || state.lines.len() + line.len() > BUFFER_BYTES_MAX {
            drop(state);
            self.dropped.inc();
            return;
        }
        let was_empty = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if was_empty {
            self.changed.notify_all();
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn finish(&self, patience: Duration) -> bool {
        self.close();
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while !state.ended {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return state.ended;
            }
        }
        true
    }

    fn run(&self, mut writer: Box<dyn Write + Send>) {
        let mut taken = Vec::new();
        loop {
            if !self.take(&mut taken) {
                break;
            }
            // A reader that went away must not end the process's service; its lines are lost and counted.
            if writer.write_all(&taken).and_then(|()| writer.flush()).is_err() {
                self.dropped.inc_by(taken.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            taken.clear();
        }
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for lines, lets more gather, swaps the buffers. False when there will be no more.
    fn take(&self, taken: &mut Vec<u8>) -> bool {
        let mut state = self.state.lock();
        while state.lines.is_empty() {
            if state.closed {
                return false;
            }
            self.changed.wait(&mut state);
        }
        let deadline = Instant::now() + WRITE_INTERVAL;
        while !state.closed && state.lines.len() < BUFFER_BYTES_MAX / 2 {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        std::mem::swap(&mut state.lines, taken);
        true
    }
}
