//! Load as the Latency Profile Generator makes it, drift included.
//!
//! Prompts at random with replacement; an exponential gap is slept after each send, and each send costs time of its own,
//! so the achieved rate stays below the nominal one: that is how the benchmark of the Gateway API Inference Extension was
//! made. Each request has a new connection. Nothing was intended before it is sent, so there is no send lag.

use crate::plan::{Lpg, OpenStage};
use crate::random::{Use, exponential, stream};
use crate::run::{StageRun, sleep_until};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;

/// Sends one stage and waits for its last answer.
pub(crate) async fn drive(run: Arc<StageRun>, lpg: &Lpg, stage: OpenStage) {
    let runtime = Handle::current();
    let pacer = tokio::task::spawn_blocking({
        let (run, lpg) = (run.clone(), lpg.clone());
        move || pace(&run, &lpg, stage, &runtime)
    });
    pacer.await.expect("the pacer does not panic");
    run.drain().await;
}

fn pace(run: &Arc<StageRun>, lpg: &Lpg, stage: OpenStage, runtime: &Handle) {
    let plan = &run.context.plan;
    let mut rng = stream(plan.seed, Use::Lpg, u64::from(run.number));
    let prompts = plan.prompts.pass().unwrap_or(lpg.prompts);
    let mut wake = run.start;
    for index in 0..stage.requests {
        if !sleep_until(wake, &run.context.stop) {
            return;
        }
        let drawn = run.draw(rng.u64(..prompts));
        let now = Instant::now();
        let (asked, call) = run.prepare(index, &drawn, now.saturating_duration_since(run.start));
        let task = run.clone();
        if run.tasks.len() >= plan.in_flight_max {
            run.not_sent(asked, now);
        } else {
            let send = async move { drop(task.exchange(asked, call, Instant::now()).await) };
            run.tasks.spawn_on(send, runtime);
        }
        let gap = exponential(&mut rng) / stage.rate;
        wake = Instant::now() + lpg.send_cost + std::time::Duration::from_secs_f64(gap);
    }
}
