//! The series of `vllm:lora_requests_info`: which adapters had requests in flight, and when that was so last.
//!
//! vLLM sets the series of the present adapters to the present time after every step and never removes one, so
//! several coexist and the latest counts. Adapters are named in the order in which their requests came, and the
//! running and the waiting list are the same (seen on vLLM 0.32).

use std::collections::HashMap;

use roadstead_engine::AdapterId;

use crate::metrics_page::write_adapters_line;

/// Series kept; beyond it the one that was current longest ago goes.
const SERIES_MAX: usize = 256;

/// Adapters in flight and the series they have left behind.
#[derive(Debug)]
pub(super) struct AdapterSeries {
    max_loras: u32,
    names: HashMap<AdapterId, String>,
    /// With how many requests, in order of coming.
    in_flight: Vec<(AdapterId, u32)>,
    /// Comma-joined names, and the time they were current last in seconds since the Unix epoch.
    series: Vec<(String, f64)>,
    /// The series of the adapters in flight; `None` when they have changed since.
    current: Option<usize>,
    lines: Vec<u8>,
}

impl AdapterSeries {
    pub(super) fn new(max_loras: u32) -> AdapterSeries {
        AdapterSeries {
            max_loras,
            names: HashMap::new(),
            in_flight: Vec::new(),
            series: Vec::new(),
            current: None,
            lines: Vec::new(),
        }
    }

    /// Learns an adapter's name.
    pub(super) fn name(&mut self, id: AdapterId, name: &str) {
        self.names.insert(id, name.to_owned());
    }

    pub(super) fn job_comes(&mut self, id: AdapterId) {
        if let Some((_, jobs)) = self.in_flight.iter_mut().find(|(other, _)| *other == id) {
            *jobs += 1;
            return;
        }
        self.in_flight.push((id, 1));
        self.current = None;
    }

    pub(super) fn job_goes(&mut self, id: Option<AdapterId>) {
        let Some(at) = self.in_flight.iter().position(|(other, _)| Some(*other) == id) else { return };
        self.in_flight[at].1 -= 1;
        if self.in_flight[at].1 == 0 {
            self.in_flight.remove(at);
            self.current = None;
        }
    }

    /// A step ended at `unix_s`.
    pub(super) fn mark(&mut self, unix_s: f64) {
        if self.max_loras == 0 {
            return;
        }
        let at = match self.current {
            Some(at) => at,
            None => self.find_or_make(),
        };
        self.current = Some(at);
        self.series[at].1 = unix_s;
    }

    /// The lines of the page.
    pub(super) fn lines(&mut self) -> &[u8] {
        self.lines.clear();
        for (names, unix_s) in &self.series {
            write_adapters_line(&mut self.lines, self.max_loras, names, *unix_s);
        }
        &self.lines
    }

    fn find_or_make(&mut self) -> usize {
        let names: Vec<&str> =
            self.in_flight.iter().filter_map(|(id, _)| self.names.get(id)).map(String::as_str).collect();
        let names = names.join(",");
        if let Some(at) = self.series.iter().position(|(other, _)| *other == names) {
            return at;
        }
        if self.series.len() == SERIES_MAX {
            let oldest = (0..SERIES_MAX).min_by(|a, b| self.series[*a].1.total_cmp(&self.series[*b].1));
            self.series.remove(oldest.unwrap_or(0));
        }
        self.series.push((names, 0.0));
        self.series.len() - 1
    }
}
