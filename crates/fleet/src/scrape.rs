//! Scrapes one endpoint: the loop, its patience, and what it concludes nothing from but reports.
//!
//! Always holds: an answer that is there wins over a timer that is also due, and only time in which this task
//! could have seen an answer counts as silence. A starved gateway must not see hung endpoints.

use std::sync::Arc;
use std::time::Duration;

use roadstead_core::{EndpointId, EngineState};
use roadstead_picker::fact::Fact;
use tokio::time::{Instant, sleep, sleep_until};

use crate::engines::PageReader;
use crate::fleet::FactSink;
use crate::http_get::{AnswerError, Progress};
use crate::metrics::{FleetMetrics, ScrapeError};
use crate::pace::{Look, Pace};
use crate::page_source::{PageSource, SourceError};

/// Without a byte for this long after the request was written, the endpoint is reported silent.
pub const SILENT_AFTER: Duration = SLICE.saturating_mul(SILENT_SLICES);

/// Silence is counted in slices: a task that does not run for long loses one of them, not all.
const SLICE: Duration = Duration::from_millis(150);
const SILENT_SLICES: u32 = 4;
/// After this much silence the connection is given up and another is tried.
const GIVE_UP_SLICES: u32 = 14;
/// Longest time for a whole answer that keeps coming in drops.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Good pages of which only the load is read, between two of which everything is.
const LOAD_ONLY_PAGES: u32 = 19;

/// One endpoint's scraper.
pub(crate) struct Scraper<S> {
    pub(crate) endpoint: EndpointId,
    pub(crate) source: S,
    pub(crate) reader: Arc<PageReader>,
    pub(crate) sink: Arc<dyn FactSink>,
    pub(crate) metrics: FleetMetrics,
    pub(crate) pace: Pace,
    /// Whether the silence that lasts has been reported.
    pub(crate) silent: bool,
    /// Good pages until everything on one is read again.
    pub(crate) load_only: u32,
}

/// How waiting for an answer ended.
enum Waited {
    Answered,
    /// No byte for as long as we wait.
    Silent,
    /// Bytes kept coming, the end did not.
    Dripping,
}

impl<S: PageSource> Scraper<S> {
    /// Scrapes until the future is dropped, which may happen at any await.
    pub(crate) async fn run(mut self) {
        sleep(self.pace.first(fastrand::f64())).await;
        loop {
            let started = Instant::now();
            let look = self.scrape().await;
            sleep_until(started + self.pace.after(look, fastrand::f64())).await;
        }
    }

    /// One scrape, with what it saw reported and counted.
    async fn scrape(&mut self) -> Look {
        let error = match self.fetch().await {
            Ok(state) => {
                self.answered(state);
                self.metrics.scrapes.inc();
                return Look::Good;
            }
            Err(error) => error,
        };
        // It may come back with another cache.
        self.load_only = 0;
        self.metrics.scrape_failed(error);
        match error {
            ScrapeError::Silent => {}
            error if error.alive() => self.answered(EngineState::default()),
            _ => self.sink.observe(Fact::Unreachable(self.endpoint)),
        }
        tracing::debug!(endpoint = %self.endpoint, reason = error.reason(), "scrape failed");
        match error {
            ScrapeError::Status | ScrapeError::Unreadable | ScrapeError::Truncated => Look::Pageless,
            _ => Look::Failed,
        }
    }

    fn answered(&mut self, state: EngineState) {
        self.silent = false;
        self.sink.observe(Fact::Scraped { endpoint: self.endpoint, state });
    }

    /// The state on the page. An idle connection that the endpoint had closed is no failure: once more then.
    async fn fetch(&mut self) -> Result<EngineState, ScrapeError> {
        match self.exchange().await {
            Err(SourceError::Stale) => self.exchange().await,
            first => first,
        }
        .map_err(ScrapeError::from)
        .and_then(|waited| self.patience_left(waited))?;
        if self.source.status() != 200 {
            return Err(ScrapeError::Status);
        }
        let state = self.read_page();
        if state == EngineState::default() { Err(ScrapeError::Unreadable) } else { Ok(state) }
    }

    fn read_page(&mut self) -> EngineState {
        let page = self.source.body();
        if self.load_only > 0 {
            self.load_only -= 1;
            return self.reader.read_load(page);
        }
        self.load_only = LOAD_ONLY_PAGES;
        self.reader.read(page)
    }

    /// Sends and waits.
    async fn exchange(&mut self) -> Result<Waited, SourceError> {
        self.source.send().await?;
        let written = Instant::now();
        let mut quiet = 0;
        loop {
            // Cancel safe: `more` keeps what it received, a slice that is dropped was not due.
            tokio::select! {
                biased;
                progress = self.source.more() => match progress? {
                    Progress::Whole => {
                        self.metrics.scrape_seconds.observe(written.elapsed().as_secs_f64());
                        return Ok(Waited::Answered);
                    }
                    Progress::Part => quiet = 0,
                },
                () = sleep(SLICE) => quiet += 1,
            }
            if quiet == SILENT_SLICES && !self.silent {
                self.silent = true;
                self.sink.observe(Fact::Silent(self.endpoint));
            }
            if quiet >= GIVE_UP_SLICES {
                return Ok(Waited::Silent);
            }
            if quiet == 0 && written.elapsed() > ANSWER_MAX {
                return Ok(Waited::Dripping);
            }
        }
    }

    fn patience_left(&mut self, waited: Waited) -> Result<(), ScrapeError> {
        let error = match waited {
            Waited::Answered => return Ok(()),
            Waited::Silent => ScrapeError::Silent,
            // Bytes without a head are no answer yet, so no sign of a server.
            Waited::Dripping if !self.source.has_head() => ScrapeError::Protocol,
            Waited::Dripping => ScrapeError::Slow,
        };
        self.source.close();
        Err(error)
    }
}

impl From<SourceError> for ScrapeError {
    fn from(error: SourceError) -> ScrapeError {
        match error {
            SourceError::Connect => ScrapeError::Connect,
            SourceError::Stale | SourceError::Reset => ScrapeError::Reset,
            SourceError::Answer(AnswerError::NotHttp) => ScrapeError::Protocol,
            SourceError::Answer(AnswerError::TooLarge) => ScrapeError::TooLarge,
            SourceError::Answer(AnswerError::Truncated) => ScrapeError::Truncated,
            SourceError::Answer(AnswerError::Closed) => ScrapeError::Reset,
        }
    }
}

#[cfg(test)]
mod tests;
