//! Notices an endpoint that falls silent in the middle of its answer.
//!
//! A timer is made when more of the answer is first waited for, and set anew only when it fires: a chunk that
//! passes costs a look at the clock, an answer that comes at once costs nothing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Watches for silence.
pub(super) struct Stall {
    limit: Duration,
    /// When something was heard last, and the timer.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Stall {
    /// After `limit` of silence.
    pub(super) fn after(limit: Duration) -> Stall {
        Stall { limit, waiting: None }
    }

    /// The endpoint said something.
    pub(super) fn heard(&mut self) {
        if let Some((heard, _)) = &mut self.waiting {
            *heard = Instant::now();
        }
    }

    /// Ready when it has been silent for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (heard, timer) = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + self.limit)))
        });
        while timer.as_mut().poll(cx).is_ready() {
            let due = *heard + self.limit;
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
