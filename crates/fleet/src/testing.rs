//! Helpers of this crate's tests: a page source that follows a script, a sink that remembers.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use roadstead_picker::fact::Fact;
use tokio::time::{Instant, sleep_until};

use crate::fleet::FactSink;
use crate::http_get::Progress;
use crate::page_source::{PageSource, SourceError};

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One exchange of a script.
#[derive(Clone)]
pub(crate) struct Exchange {
    send: Result<(), SourceError>,
    /// What comes, each so long after the one before.
    pieces: VecDeque<(Duration, Result<Progress, SourceError>)>,
    status: u16,
    body: &'static str,
}

/// Follows its script; at the script's end nothing answers any more.
#[derive(Default)]
pub(crate) struct Script {
    exchanges: VecDeque<Exchange>,
    now: Option<Exchange>,
    due: Option<Instant>,
    begun: bool,
    /// When each exchange was sent, and how often the connection was closed by us.
    pub(crate) log: Arc<Mutex<ScriptLog>>,
}

#[derive(Default)]
pub(crate) struct ScriptLog {
    pub(crate) sent: Vec<Instant>,
    pub(crate) closed: usize,
}

/// Remembers facts in short words, with their time since the sink was made.
#[derive(Clone)]
pub(crate) struct Seen {
    start: Instant,
    facts: Arc<Mutex<Vec<(u64, String)>>>,
}

impl Exchange {
    pub(crate) fn page(body: &'static str) -> Exchange {
        Exchange::status(200, body)
    }

    pub(crate) fn status(status: u16, body: &'static str) -> Exchange {
        let pieces = VecDeque::from([(Duration::ZERO, Ok(Progress::Whole))]);
        Exchange { send: Ok(()), pieces, status, body }
    }

    pub(crate) fn broken(error: SourceError) -> Exchange {
        let pieces = VecDeque::from([(Duration::ZERO, Err(error))]);
        Exchange { pieces, ..Exchange::hung() }
    }

    pub(crate) fn refused() -> Exchange {
        Exchange { send: Err(SourceError::Connect), ..Exchange::hung() }
    }

    pub(crate) fn hung() -> Exchange {
        Exchange { send: Ok(()), pieces: VecDeque::new(), status: 200, body: "" }
    }

    /// `count` pieces, `gap` apart, then nothing.
    pub(crate) fn drips(count: usize, gap: Duration) -> Exchange {
        Exchange { pieces: vec![(gap, Ok(Progress::Part)); count].into(), ..Exchange::hung() }
    }

    /// The same, so much later.
    pub(crate) fn after(mut self, delay: Duration) -> Exchange {
        self.pieces[0].0 += delay;
        self
    }
}

impl Script {
    pub(crate) fn new(exchanges: impl IntoIterator<Item = Exchange>) -> Script {
        Script { exchanges: exchanges.into_iter().collect(), ..Script::default() }
    }
}

impl PageSource for Script {
    async fn send(&mut self) -> Result<(), SourceError> {
        self.log.lock().sent.push(Instant::now());
        self.due = None;
        self.begun = false;
        self.now = Some(self.exchanges.pop_front().unwrap_or_else(Exchange::hung));
        self.now.as_ref().map_or(Ok(()), |exchange| exchange.send)
    }

    async fn more(&mut self) -> Result<Progress, SourceError> {
        let exchange = self.now.as_mut().unwrap();
        let Some((delay, outcome)) = exchange.pieces.front().copied() else { return pending().await };
        let due = *self.due.get_or_insert(Instant::now() + delay);
        sleep_until(due).await;
        exchange.pieces.pop_front();
        self.due = None;
        self.begun = true;
        outcome
    }

    fn has_head(&self) -> bool {
        self.begun
    }

    fn status(&self) -> u16 {
        self.now.as_ref().map_or(0, |exchange| exchange.status)
    }

    fn body(&self) -> &[u8] {
        self.now.as_ref().map_or(b"", |exchange| exchange.body.as_bytes())
    }

    fn close(&mut self) {
        self.log.lock().closed += 1;
    }
}

impl Seen {
    pub(crate) fn new() -> Seen {
        Seen { start: Instant::now(), facts: Arc::default() }
    }

    /// All facts so far.
    pub(crate) fn facts(&self) -> Vec<String> {
        self.facts.lock().iter().map(|(_, fact)| fact.clone()).collect()
    }

    /// All facts so far with the milliseconds at which they came.
    pub(crate) fn timed(&self) -> Vec<(u64, String)> {
        self.facts.lock().clone()
    }
}

impl FactSink for Seen {
    fn observe(&self, fact: Fact) {
        let words = match fact {
            Fact::Scraped { state, .. } => match state.waiting {
                Some(waiting) => match state.kv_blocks {
                    Some(blocks) => format!("waiting {waiting} of {blocks} blocks"),
                    None => format!("waiting {waiting}"),
                },
                None => "alive".to_owned(),
            },
            Fact::Silent(_) => "silent".to_owned(),
            Fact::Unreachable(_) => "unreachable".to_owned(),
            Fact::Models { models, .. } => {
                models.iter().map(|model| &*model.id).collect::<Vec<_>>().join(",")
            }
            Fact::Joined(_) => "joined".to_owned(),
            Fact::Left(_) => "left".to_owned(),
            Fact::Draining { on, .. } => format!("draining {on}"),
            Fact::Load { .. } => "load".to_owned(),
        };
        let at = self.start.elapsed().as_millis() as u64;
        self.facts.lock().push((at, words));
    }
}
