//! What the stories share: the binary as child processes, a plain HTTP client, the admin port's pages.
//!
//! A story drives the real binary over loopback and looks at nothing but what it prints and answers. Every wait is
//! for something observable and has a deadline.

// Each story is a crate of its own and uses a part of this.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

pub mod client;
pub mod endpoint;
pub mod fleet;
pub mod pools;
pub mod process;

use std::io::Write;
use std::time::{Duration, Instant};

pub use client::{Answer, Stream};
pub use endpoint::Endpoint;
pub use fleet::{Gateway, Server};
pub use process::{Process, shell};

/// Longest that a story waits for what must happen, however slow the machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// From one look to the next while waiting.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What every simulated server serves unless told otherwise.
pub const MODEL: &str = "llama-3.1-8b";

/// The output of `future`, which must come in time.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("did not happen in time")
}

/// Waits until `look` sees it. Returns how long that took.
pub async fn until<F: Future<Output = bool>>(what: &str, look: impl FnMut() -> F) -> Duration {
    until_within(PATIENCE, what, look).await
}

/// Waits until `look` sees it, which must happen within `limit`.
pub async fn until_within<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> Duration {
    let began = Instant::now();
    while !look().await {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    began.elapsed()
}

/// Says that a test could not run here. It goes past the harness's capture, where `cargo xtask test` counts it.
pub fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
