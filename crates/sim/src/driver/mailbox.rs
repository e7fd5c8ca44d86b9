//! Where a reader finds how far its answer is. A count and a state: nothing piles up for a reader that lags.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

const RUNNING: u8 = 0;
const FINISHED: u8 = 1;
const GONE: u8 = 2;

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// So many tokens exist, and more will come.
    Tokens(u32),
    /// So many tokens exist, and that is all.
    Finished(u32),
    /// The server was cut off.
    Gone,
}

/// Written by the driver, read by one reader.
#[derive(Debug)]
pub(super) struct Mailbox {
    produced: AtomicU32,
    state: AtomicU8,
    streamed: bool,
    waker: AtomicWaker,
}

impl Mailbox {
    pub(super) fn new(streamed: bool) -> Mailbox {
        Mailbox {
            produced: AtomicU32::new(0),
            state: AtomicU8::new(RUNNING),
            streamed,
            waker: AtomicWaker::new(),
        }
    }

    /// Adds tokens, and the reader to `wakes` if it wants to hear of them.
    pub(super) fn add(self: &Arc<Self>, count: u32, wakes: &mut Vec<Arc<Mailbox>>) {
        self.produced.fetch_add(count, Ordering::Release);
        if self.streamed {
            wakes.push(self.clone());
        }
    }

    pub(super) fn finish(&self) {
        self.state.store(FINISHED, Ordering::Release);
    }

    pub(super) fn cut(&self) {
        self.state.store(GONE, Ordering::Release);
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Whether the engine has nothing more to do for it.
    pub(super) fn is_over(&self) -> bool {
        self.state.load(Ordering::Acquire) != RUNNING
    }

    pub(super) fn poll_progress(&self, cx: &mut Context<'_>, seen: u32) -> Poll<Progress> {
        if let Some(progress) = self.progress(seen) {
            return Poll::Ready(progress);
        }
        // Register first, then look again: what came in between is not missed.
        self.waker.register(cx.waker());
        self.progress(seen).map_or(Poll::Pending, Poll::Ready)
    }

    fn progress(&self, seen: u32) -> Option<Progress> {
        // The state is read first: once it says finished, all tokens have been counted.
        let state = self.state.load(Ordering::Acquire);
        let produced = self.produced.load(Ordering::Acquire);
        match state {
            GONE => Some(Progress::Gone),
            FINISHED => Some(Progress::Finished(produced)),
            _ if produced > seen => Some(Progress::Tokens(produced)),
            _ => None,
        }
    }
}
