//! The process's metric registry: series under upstream's prefix, series of our own, one text page.
//!
//! Counters are registered **without** `_total` and helps without a full stop: the library adds both.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// Content type of [`MetricRegistry::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Prefix of the series that upstream also has, with upstream's meaning.
const UPSTREAM_PREFIX: &str = "llm_d_epp";
/// Prefix of the series that only we have.
const OWN_PREFIX: &str = "roadstead";

/// All metrics of the process. Build it at start, register everything, then share it for encoding.
#[derive(Debug, Default)]
pub struct MetricRegistry {
    upstream: Registry,
    own: Registry,
}

impl MetricRegistry {
    /// An empty registry.
    pub fn new() -> MetricRegistry {
        MetricRegistry {
            upstream: Registry::with_prefix(UPSTREAM_PREFIX),
            own: Registry::with_prefix(OWN_PREFIX),
        }
    }

    /// Where series with upstream's names go (`llm_d_epp_…`).
    pub fn upstream(&mut self) -> &mut Registry {
        &mut self.upstream
    }

    /// Where series that upstream does not have go (`roadstead_…`).
    pub fn own(&mut self) -> &mut Registry {
        &mut self.own
    }

    /// The OpenMetrics page; serve it with [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail, and the encoder has no other source of errors.
        let _ = encode(&mut page, &self.upstream);
        let end = page.strip_suffix("# EOF\n").map(str::len);
        page.truncate(end.unwrap_or(page.len()));
        let _ = encode(&mut page, &self.own);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Counter;

    #[test]
    fn both_prefixes_share_one_page_with_one_end() {
        let mut registry = MetricRegistry::new();
        let requests: Counter = Counter::default();
        registry.upstream().register("request", "Requests", requests.clone());
        registry.own().register("lines_dropped", "Lines", Counter::<u64>::default());
        requests.inc();

        let page = registry.encode();

        assert!(page.contains("llm_d_epp_request_total 1\n"), "{page}");
        assert!(page.contains("roadstead_lines_dropped_total 0\n"), "{page}");
        assert_eq!(page.matches("# EOF").count(), 1);
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_registry_without_series_encodes_to_an_end_mark() {
        assert_eq!(MetricRegistry::new().encode(), "# EOF\n");
    }
}
