//! Closed loop: a fixed number of requests in flight, the next one when one has ended.
//!
//! The server sets the pace, so latencies under overload look better than users would see: use it for the greatest
//! throughput. Request numbers are handed out in order, so the sequence of requests does not depend on the target.

use crate::plan::ClosedStage;
use crate::run::StageRun;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Wait after a failure, so that a refusing server is not asked without end.
const FAILURE_PAUSE: Duration = Duration::from_millis(10);

/// Sends one stage and waits for its last answer.
pub(crate) async fn drive(run: Arc<StageRun>, stage: ClosedStage) {
    let next = Arc::new(AtomicU64::new(0));
    for _ in 0..stage.concurrency {
        run.tasks.spawn(work(run.clone(), stage, next.clone()));
    }
    run.drain().await;
}

async fn work(run: Arc<StageRun>, stage: ClosedStage, next: Arc<AtomicU64>) {
    tokio::time::sleep_until(run.start.into()).await;
    while !run.context.stop.is_cancelled() {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let elapsed = run.start.elapsed();
        if stage.requests.is_some_and(|most| index >= most) || stage.span.is_some_and(|span| elapsed >= span)
        {
            return;
        }
        let (asked, call) = run.prepare(index, &run.draw(index), elapsed);
        if run.exchange(asked, call, Instant::now()).await.is_none() {
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
}
