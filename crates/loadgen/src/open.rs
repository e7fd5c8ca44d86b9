//! Open loop: requests leave at precomputed times, whatever the server does.
//!
//! A thread of its own sleeps until each time and hands the request to the runtime, so that neither the runtime's timer
//! nor a busy runtime shifts a schedule: what is late shows as send lag. The next request is made ready before the wait.

use crate::arrivals::{Process, schedule};
use crate::plan::OpenStage;
use crate::random::{Use, stream};
use crate::run::{StageRun, sleep_until};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Sends one stage and waits for its last answer.
pub(crate) async fn drive(run: Arc<StageRun>, process: Process, stage: OpenStage) {
    let runtime = Handle::current();
    let pacer = tokio::task::spawn_blocking({
        let run = run.clone();
        move || pace(&run, process, stage, &runtime)
    });
    pacer.await.expect("the pacer does not panic");
    run.drain().await;
}

fn pace(run: &Arc<StageRun>, process: Process, stage: OpenStage, runtime: &Handle) {
    let plan = &run.context.plan;
    let mut rng = stream(run.seed, Use::Arrivals, 0);
    let times = schedule(process, stage.requests as usize, stage.span.as_nanos() as u64, &mut rng);
    for (index, at) in (0u64..).zip(times) {
        let at = Duration::from_nanos(at);
        let (asked, call) = run.prepare(index, &run.draw(index), at);
        let intended = run.start + at;
        if !sleep_until(intended, &run.context.stop) {
            return;
        }
        if run.tasks.len() >= plan.in_flight_max {
            run.not_sent(asked, intended);
            continue;
        }
        let task = run.clone();
        run.tasks.spawn_on(async move { drop(task.exchange(asked, call, intended).await) }, runtime);
    }
}
