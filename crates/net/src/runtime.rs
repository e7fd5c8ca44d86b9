//! Builds the one tokio runtime of a process.
//!
//! Multi-threaded with work stealing: connections are long-lived and uneven (a stream of thousands of
//! chunks beside a short request), so pinning each to a core would leave cores idle.
//! Must not know what runs on it.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime with `workers` threads, by default one per core.
///
/// # Errors
/// The threads could not be started.
pub fn build(workers: Option<usize>) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers.max(1));
    }
    builder.thread_name("roadstead").enable_all().build()
}
