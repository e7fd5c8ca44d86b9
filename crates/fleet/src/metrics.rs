//! Metrics of looking at endpoints. All series exist from the start; nothing is looked up while scraping.

use roadstead_telemetry::MetricRegistry;
use roadstead_telemetry::metric::{Counter, Family, Histogram};

/// Buckets of a scrape's duration, in seconds.
const SCRAPE_SECONDS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

const SCRAPE: &str = "metrics-data-source";
const MODELS: &str = "models-data-source";
const SCRAPE_EXTRACTOR: &str = "core-metrics-extractor";
const MODELS_EXTRACTOR: &str = "models-data-extractor";

/// Why a scrape brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrapeError {
    /// No connection: refused, unresolved, or not there in time.
    Connect,
    /// The connection broke before an answer began.
    Reset,
    /// What came is not HTTP.
    Protocol,
    /// No answer at all in time.
    Silent,
    /// The answer began and did not end in time.
    Slow,
    /// The answer began and broke off.
    Truncated,
    /// The answer is larger than the bound.
    TooLarge,
    /// Another status than 200.
    Status,
    /// A page without any series of the engine.
    Unreadable,
}

/// The handles of this crate's series.
#[derive(Clone, Debug)]
pub struct FleetMetrics {
    /// Metrics pages read.
    pub scrapes: Counter,
    /// From writing the request to having read the page.
    pub scrape_seconds: Histogram,
    errors: [Counter; ScrapeError::ALL.len()],
    poll_errors: [Counter; 2],
    extract_errors: [Counter; 2],
}

impl ScrapeError {
    /// All of them.
    pub const ALL: [ScrapeError; 9] = [
        ScrapeError::Connect,
        ScrapeError::Reset,
        ScrapeError::Protocol,
        ScrapeError::Silent,
        ScrapeError::Slow,
        ScrapeError::Truncated,
        ScrapeError::TooLarge,
        ScrapeError::Status,
        ScrapeError::Unreadable,
    ];

    /// Its label value.
    pub fn reason(self) -> &'static str {
        match self {
            ScrapeError::Connect => "connect",
            ScrapeError::Reset => "reset",
            ScrapeError::Protocol => "protocol",
            ScrapeError::Silent => "silent",
            ScrapeError::Slow => "slow",
            ScrapeError::Truncated => "truncated",
            ScrapeError::TooLarge => "too_large",
            ScrapeError::Status => "status",
            ScrapeError::Unreadable => "unreadable",
        }
    }

    /// Whether the endpoint answered in HTTP: something lives there.
    pub fn alive(self) -> bool {
        match self {
            ScrapeError::Connect | ScrapeError::Reset | ScrapeError::Protocol | ScrapeError::Silent => false,
            ScrapeError::Slow
            | ScrapeError::Truncated
            | ScrapeError::TooLarge
            | ScrapeError::Status
            | ScrapeError::Unreadable => true,
        }
    }
}

impl FleetMetrics {
    /// Registers the series: upstream's data layer counters, and our own by reason.
    pub fn register(registry: &mut MetricRegistry) -> FleetMetrics {
        let poll: Family<[(&'static str, &'static str); 1], Counter> = Family::default();
        let extract: Family<[(&'static str, &'static str); 2], Counter> = Family::default();
        let errors: Family<[(&'static str, &'static str); 1], Counter> = Family::default();
        let metrics = FleetMetrics {
            scrapes: Counter::default(),
            scrape_seconds: Histogram::new(SCRAPE_SECONDS.iter().copied()),
            errors: ScrapeError::ALL.map(|error| errors.get_or_create_owned(&[("reason", error.reason())])),
            poll_errors: [SCRAPE, MODELS].map(|source| poll.get_or_create_owned(&[("source_type", source)])),
            extract_errors: [(SCRAPE, SCRAPE_EXTRACTOR), (MODELS, MODELS_EXTRACTOR)].map(
                |(source, extractor)| {
                    extract.get_or_create_owned(&[("source_type", source), ("extractor_type", extractor)])
                },
            ),
        };
        let upstream = registry.upstream();
        upstream.register("datalayer_poll_errors", "Failed looks at endpoints", poll);
        upstream.register("datalayer_extract_errors", "Answers of endpoints that could not be read", extract);
        let own = registry.own();
        own.register("scrapes", "Metrics pages read", metrics.scrapes.clone());
        own.register("scrape_errors", "Scrapes that brought nothing, by reason", errors);
        own.register(
            "scrape_duration_seconds",
            "From the request to the end of the metrics page",
            metrics.scrape_seconds.clone(),
        );
        metrics
    }

    /// Counts a scrape that brought nothing.
    pub(crate) fn scrape_failed(&self, error: ScrapeError) {
        self.errors[error as usize].inc();
        match error {
            ScrapeError::Unreadable => self.extract_errors[0].inc(),
            _ => self.poll_errors[0].inc(),
        };
    }

    /// Counts a failed ask for models; `answered`: there was an answer, which could not be read.
    pub(crate) fn models_failed(&self, answered: bool) {
        let counters = if answered { &self.extract_errors } else { &self.poll_errors };
        counters[1].inc();
    }

    /// Scrapes that failed for this reason so far.
    pub fn scrape_errors(&self, error: ScrapeError) -> u64 {
        self.errors[error as usize].get()
    }
}

impl Default for FleetMetrics {
    /// Counts that nobody reads.
    fn default() -> FleetMetrics {
        FleetMetrics::register(&mut MetricRegistry::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_series_from_the_start() {
        let mut registry = MetricRegistry::new();
        let metrics = FleetMetrics::register(&mut registry);
        for error in ScrapeError::ALL {
            metrics.scrape_failed(error);
        }
        metrics.models_failed(true);
        let page = registry.encode();
        for error in ScrapeError::ALL {
            let series = format!("roadstead_scrape_errors_total{{reason=\"{}\"}} 1\n", error.reason());
            assert!(page.contains(&series), "{series} in {page}");
            assert_eq!(metrics.scrape_errors(error), 1);
        }
        for series in [
            "llm_d_epp_datalayer_poll_errors_total{source_type=\"metrics-data-source\"} 8\n",
            "llm_d_epp_datalayer_poll_errors_total{source_type=\"models-data-source\"} 0\n",
            "llm_d_epp_datalayer_extract_errors_total{source_type=\"metrics-data-source\",extractor_type=\"core-metrics-extractor\"} 1\n",
            "llm_d_epp_datalayer_extract_errors_total{source_type=\"models-data-source\",extractor_type=\"models-data-extractor\"} 1\n",
            "roadstead_scrapes_total 0\n",
        ] {
            assert!(page.contains(series), "{series} in {page}");
        }
    }
}
