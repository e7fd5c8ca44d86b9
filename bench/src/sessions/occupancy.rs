//! Watches the servers' own `/metrics`, over one kept connection each: what runs, and what the prefix caches give.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::plain_http::{Asked, series};

const INTERVAL: Duration = Duration::from_millis(25);
const RUNNING: &str = "vllm:num_requests_running{";
const ASKED: &str = "vllm:prefix_cache_queries_total{";
const FOUND: &str = "vllm:prefix_cache_hits_total{";

/// What the servers said.
pub struct Watched {
    /// Of each server, the share of the looks that found something running.
    pub busy: Vec<f64>,
    /// Share of the prompt tokens that were found in a prefix cache between the first look and the last.
    pub cached_share: f64,
}

/// A watch in its own thread.
pub struct Occupancy {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<anyhow::Result<Watched>>,
}

impl Occupancy {
    /// Watches `servers` from `after` on for `span`.
    pub fn watch(servers: Vec<SocketAddr>, after: Duration, span: Duration) -> Occupancy {
        let (stop, stopped) = mpsc::channel();
        let from = Instant::now() + after;
        let thread = std::thread::spawn(move || count(&servers, from, from + span, &stopped));
        Occupancy { stop, thread }
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// A server could not be asked.
    pub fn end(self) -> anyhow::Result<Watched> {
        // It may have ended by itself.
        let _ = self.stop.send(());
        self.thread.join().map_err(|_| anyhow::anyhow!("the watch ended early"))?
    }
}

fn count(
    servers: &[SocketAddr],
    from: Instant,
    to: Instant,
    stopped: &mpsc::Receiver<()>,
) -> anyhow::Result<Watched> {
    let mut asked: Vec<Asked> = servers.iter().copied().map(Asked::new).collect();
    let (mut looks, mut running) = (0u32, vec![0u32; servers.len()]);
    let (mut first, mut last) = (None, Cache::default());
    let mut next = from;
    while next < to {
        let wait = next.saturating_duration_since(Instant::now());
        if !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
            break;
        }
        looks += 1;
        last = Cache::default();
        for (server, count) in asked.iter_mut().zip(&mut running) {
            let page = server.get("/metrics")?.body;
            *count += u32::from(series(&page, RUNNING)? > 0.0);
            last = Cache {
                asked: last.asked + series(&page, ASKED)?,
                found: last.found + series(&page, FOUND)?,
            };
        }
        first.get_or_insert(last);
        next = (next + INTERVAL).max(Instant::now());
    }
    let first = first.unwrap_or_default();
    Ok(Watched {
        busy: running.into_iter().map(|count| f64::from(count) / f64::from(looks.max(1))).collect(),
        cached_share: (last.found - first.found) / (last.asked - first.asked).max(1.0),
    })
}

/// Prompt tokens so far, over all servers.
#[derive(Clone, Copy, Default)]
struct Cache {
    asked: f64,
    found: f64,
}
