//! One line on a terminal that says what goes on, written over and over.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use roadstead_epp::PoolHandle;
use roadstead_picker::PoolView;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const PERIOD: Duration = Duration::from_millis(500);

/// Shows the pool until `stop`. Does nothing where standard error is not a terminal.
pub async fn show(pool: PoolHandle, stop: CancellationToken) {
    if !stderr().is_terminal() {
        return;
    }
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        // Cancel safety: a tick that loses stays due.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = ticks.tick() => write(&line(&pool.view())),
        }
    }
    write("");
}

/// The text of the line.
fn line(view: &PoolView) -> String {
    let ready = view.endpoints.iter().filter(|endpoint| endpoint.barred.is_none()).count();
    let in_flight: u32 = view.endpoints.iter().map(|endpoint| endpoint.account.requests).sum();
    let running: u32 = view.endpoints.iter().filter_map(|e| e.running.as_ref()).map(|fact| fact.value).sum();
    let waiting: u32 = view.endpoints.iter().filter_map(|e| e.waiting.as_ref()).map(|fact| fact.value).sum();
    let kv_usage = view.endpoints.iter().filter_map(|e| e.kv_usage.as_ref()).map(|fact| fact.value);
    let fullest = kv_usage.fold(0.0, f32::max) * 100.0;
    format!(
        "{ready}/{} endpoints ready | {in_flight} in flight, {} queued | engines: {running} running, {waiting} waiting, \
         fullest KV cache {fullest:.0} %",
        view.endpoints.len(),
        view.queued,
    )
}

fn write(line: &str) {
    // A terminal that is gone is no reason to stop serving.
    let _ = write!(stderr(), "\r\x1b[K{line}").and_then(|()| stderr().flush());
}
