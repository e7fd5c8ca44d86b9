//! `roadstead bench`: load from `loadgen`.

use std::process::ExitCode;

use roadstead_loadgen::BenchArgs;

use crate::signals;

/// Runs the load. Succeeds when every row of the report can be trusted.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    // One thread: what sends the load should not wander between cores.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime
        .block_on(async { anyhow::Ok(roadstead_loadgen::bench(args, signals::shutdown()?).await?) })?;
    Ok(if report.trusted() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
