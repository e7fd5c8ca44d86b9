//! Notices an endpoint that falls silent in the middle of its answer.
//!
//! A timer is made when the answer is first waited for, and set anew only when it fires: what passes costs a
//! look at the clock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Watches for silence.
pub(super) struct Stall {
    limit: Duration,
    heard: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// After `limit` of silence.
    pub(super) fn after(limit: Duration) -> Stall {
        Stall { limit, heard: Instant::now(), timer: None }
    }

    /// The endpoint said something.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Ready when it has been silent for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut due = self.heard + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        while timer.as_mut().poll(cx).is_ready() {
            due = self.heard + self.limit;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_what_was_heard_last() {
        let begun = Instant::now();
        let mut stall = Stall::after(Duration::from_secs(10));
        let pending = poll_fn(|cx| Poll::Ready(stall.poll(cx).is_pending())).await;
        assert!(pending);
        advance(Duration::from_secs(7)).await;
        stall.heard();
        poll_fn(|cx| stall.poll(cx)).await;
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_secs(17) && waited < Duration::from_secs(18), "{waited:?}");
    }
}
