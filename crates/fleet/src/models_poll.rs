//! Asks one endpoint for its models and reports the list when it changes.
//!
//! An endpoint that has no list, or an unreadable one, is not reported: an unknown list means that it may serve
//! anything. The last good page is kept as it came, for answers about the whole pool.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use roadstead_core::{EndpointId, ModelCard};
use roadstead_picker::fact::Fact;
use roadstead_wire::models::parse_models;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::fleet::FactSink;
use crate::http_get::Progress;
use crate::metrics::FleetMetrics;
use crate::pace::{Look, Pace};
use crate::page_source::{PageSource, SourceError};

/// Longest time for a whole answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The last good models page of an endpoint, shared with whoever lists models.
pub(crate) type SharedPage = Arc<Mutex<Option<Bytes>>>;

/// One endpoint's models poll.
pub(crate) struct ModelsPoll<S> {
    pub(crate) endpoint: EndpointId,
    pub(crate) source: S,
    pub(crate) sink: Arc<dyn FactSink>,
    pub(crate) metrics: FleetMetrics,
    pub(crate) pace: Pace,
    pub(crate) page: SharedPage,
    /// The list last reported.
    pub(crate) known: Option<Vec<ModelCard>>,
}

impl<S: PageSource> ModelsPoll<S> {
    /// Asks until the future is dropped, which may happen at any await.
    pub(crate) async fn run(mut self) {
        sleep(self.pace.first(fastrand::f64())).await;
        loop {
            let started = Instant::now();
            let look = self.ask().await;
            sleep_until(started + self.pace.after(look, fastrand::f64())).await;
        }
    }

    async fn ask(&mut self) -> Look {
        let asked = timeout(ANSWER_MAX, fetch(&mut self.source)).await;
        let Ok(Ok(())) = asked else {
            self.source.close();
            self.metrics.models_failed(false);
            return Look::Failed;
        };
        if self.source.status() != 200 {
            self.metrics.models_failed(false);
            return Look::Failed;
        }
        let body = self.source.body();
        if self.page.lock().as_ref().is_some_and(|page| page == body) {
            return Look::Good;
        }
        match parse_models(body) {
            Ok(models) => {
                *self.page.lock() = Some(Bytes::copy_from_slice(body));
                if self.known.as_ref() != Some(&models) {
                    self.known = Some(models.clone());
                    self.sink.observe(Fact::Models { endpoint: self.endpoint, models });
                }
                Look::Good
            }
            Err(error) => {
                tracing::debug!(endpoint = %self.endpoint, %error, "models list is unreadable");
                self.metrics.models_failed(true);
                Look::Failed
            }
        }
    }
}

async fn fetch(source: &mut impl PageSource) -> Result<(), SourceError> {
    match exchange(source).await {
        Err(SourceError::Stale) => exchange(source).await,
        first => first,
    }
}

async fn exchange(source: &mut impl PageSource) -> Result<(), SourceError> {
    source.send().await?;
    while source.more().await? == Progress::Part {}
    Ok(())
}

#[cfg(test)]
mod tests;
