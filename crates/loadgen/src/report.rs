//! The result of a run: one row per stage, with quantiles, counts, rates and flags.
//!
//! Pure: records go in, numbers come out. A row takes latencies from requests that succeeded and were not sent during
//! warm-up; errors are counted apart, never averaged in. A row is flagged when the generator itself was too slow to make
//! the asked load: then its latencies say more about the generator than about the server.

mod table;

use crate::plan::{Load, Plan};
use crate::record::{ErrorClass, Record};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A row whose achieved rate is a smaller share of the offered one is flagged.
pub const ACHIEVED_SHARE_MIN: f64 = 0.98;
/// A row whose 99th percentile of send lag is greater is flagged.
pub const LAG_P99_MAX_MS: f64 = 5.0;
/// Endpoints and models that a row tells apart; the rest is counted as `other`.
const NAMES_MAX: usize = 1024;
/// Histogram steps per unit: a microsecond where the unit is a millisecond.
const STEPS: f64 = 1e3;
/// Greatest histogram value, more than an hour in microseconds; what is greater counts as this in quantiles.
const STEPS_MAX: u64 = 1 << 32;

/// All results of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this layout.
    pub schema: u32,
    /// What was asked for.
    pub config: Plan,
    /// One per stage, in order.
    pub rows: Vec<RowReport>,
}

/// What is known of a stage before it runs.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// For people.
    pub label: String,
    /// Requests per second that the plan asks for, where it asks for a rate.
    pub offered_rate: Option<f64>,
    /// Requests that will be sent, where that is known.
    pub expected: Option<u64>,
    /// Time over which requests are sent, where that is fixed.
    #[serde(skip)]
    pub span: Option<Duration>,
    /// Beginning that the summary leaves out.
    #[serde(skip)]
    pub warmup: Duration,
}

/// Sums up one stage.
#[derive(Debug)]
pub struct Row {
    stage: Stage,
    counts: Counts,
    errors: BTreeMap<String, ErrorRow>,
    served_by: BTreeMap<String, u64>,
    models: BTreeMap<String, u64>,
    metrics: BTreeMap<&'static str, Series>,
    first_sent_s: f64,
    last_sent_s: f64,
    last_end_s: f64,
    /// End and answer tokens of each success, warm-up included.
    ends: Vec<(f64, u32)>,
    tokens: Tokens,
}

/// One finished row.
#[derive(Debug, Serialize)]
pub struct RowReport {
    /// What was planned.
    #[serde(flatten)]
    pub stage: Stage,
    /// Requests sent per second.
    pub achieved_rate: f64,
    /// Successes per second while requests were being sent, warm-up left out.
    pub completed_rate: f64,
    /// Answer tokens of those successes per second.
    pub output_tokens_per_s: f64,
    /// From the start of the stage to its last answer, seconds.
    pub duration_s: f64,
    /// Requests by what became of them.
    pub counts: Counts,
    /// Failures by class, warm-up left out.
    pub errors: BTreeMap<String, ErrorRow>,
    /// Token sums of the counted successes.
    pub tokens: Tokens,
    /// Summaries by metric; `_ms` metrics are milliseconds, `_tokens` tokens.
    pub metrics: BTreeMap<&'static str, Summary>,
    /// Counted requests by the endpoint that a response header named.
    pub served_by: BTreeMap<String, u64>,
    /// Counted requests by model.
    pub models: BTreeMap<String, u64>,
    /// Why this row must not be trusted; empty when it may.
    pub flags: Vec<Flag>,
}

/// Requests by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Sent, warm-up included.
    pub sent: u64,
    /// Left out because they belong to the warm-up.
    pub warmup: u64,
    /// Counted successes.
    pub ok: u64,
    /// Counted failures.
    pub failed: u64,
}

/// Token sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Prompt tokens: the server's count, else ours.
    pub input: u64,
    /// Of these found in a prefix cache, by the server's count.
    pub cached: u64,
    /// Answer tokens.
    pub output: u64,
}

/// Failures of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorRow {
    /// How many.
    pub count: u64,
    /// What the server said the first time, if it said something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

/// Summary of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Values.
    pub count: u64,
    /// Exact mean.
    pub mean: f64,
    /// Median; like all quantiles within 0.1 %.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Exact greatest value.
    pub max: f64,
}

/// Why a row must not be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Fewer requests per second were sent than asked for.
    AchievedRate,
    /// Requests were sent too late.
    SendLag,
    /// Requests were not sent, because too many were in flight.
    NotSent,
    /// The run was stopped during this row.
    Stopped,
}

/// Values of one metric.
#[derive(Debug)]
pub struct Series {
    histogram: Histogram<u64>,
    sum: f64,
    max: f64,
}

impl Report {
    /// A report without rows.
    pub fn new(plan: &Plan) -> Self {
        Self { schema: 1, config: plan.clone(), rows: Vec::new() }
    }

    /// Whether the generator kept up in every row.
    pub fn trusted(&self) -> bool {
        self.rows.iter().all(|row| row.flags.is_empty())
    }
}

impl Stage {
    /// Stage `number` of `plan`.
    pub(crate) fn of(plan: &Plan, number: usize) -> Self {
        let stage = |label, offered_rate, expected, span| Self {
            label,
            offered_rate,
            expected,
            span,
            warmup: plan.warmup,
        };
        match &plan.load {
            Load::Open { stages, .. } => {
                let open = stages[number];
                stage(format!("{} req/s", open.rate), Some(open.rate), Some(open.requests), Some(open.span))
            }
            Load::Closed { stages } => {
                let closed = stages[number];
                let expected =
                    closed.requests.or(if closed.span.is_none() { plan.prompts.pass() } else { None });
                stage(format!("{} in flight", closed.concurrency), None, expected, closed.span)
            }
            Load::Sessions(sessions) => {
                stage(format!("{} sessions", sessions.stages[number]), None, None, sessions.span)
            }
            Load::Lpg(lpg) => {
                let open = lpg.stages[number];
                stage(format!("lpg {} req/s", open.rate), Some(open.rate), Some(open.requests), None)
            }
        }
    }
}

impl Row {
    /// An empty row.
    pub fn new(stage: Stage) -> Self {
        Self {
            stage,
            counts: Counts::default(),
            errors: BTreeMap::new(),
            served_by: BTreeMap::new(),
            models: BTreeMap::new(),
            metrics: BTreeMap::new(),
            first_sent_s: f64::INFINITY,
            last_sent_s: 0.0,
            last_end_s: 0.0,
            ends: Vec::new(),
            tokens: Tokens::default(),
        }
    }

    /// Takes one finished request.
    pub fn add(&mut self, record: &Record) {
        if record.error != Some(ErrorClass::NotSent) {
            self.counts.sent += 1;
            self.first_sent_s = self.first_sent_s.min(record.sent_s);
            self.last_sent_s = self.last_sent_s.max(record.sent_s);
            self.last_end_s = self.last_end_s.max(record.end_s);
        }
        if record.error.is_none() {
            self.ends.push((record.end_s, record.output_tokens));
        }
        if record.asked.warmup {
            self.counts.warmup += 1;
            return;
        }
        count(&mut self.models, &record.asked.model);
        if let Some(endpoint) = &record.endpoint {
            count(&mut self.served_by, endpoint);
        }
        match record.error {
            Some(class) => self.add_failure(class, record),
            None => self.add_success(record),
        }
    }

    /// The finished row; `stopped`: the run ended before the stage did.
    pub fn finish(self, stopped: bool) -> RowReport {
        let sent_s = match self.stage.span {
            Some(span) if !stopped => span.as_secs_f64().max(self.last_sent_s),
            _ if self.stage.offered_rate.is_some() => self.last_sent_s,
            _ => self.last_end_s,
        };
        let rate = |count: f64, seconds: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let achieved_rate = rate(self.counts.sent as f64, sent_s);
        let warm_s = self.stage.warmup.as_secs_f64();
        let inside = self.ends.iter().filter(|(end, _)| (warm_s..=sent_s).contains(end));
        let (done, tokens) = inside.fold((0u64, 0u64), |sum, end| (sum.0 + 1, sum.1 + u64::from(end.1)));
        let metrics: BTreeMap<_, _> =
            self.metrics.into_iter().map(|(name, series)| (name, series.summary())).collect();
        let flags = flags(&self.stage, achieved_rate, &metrics, &self.errors, stopped);
        RowReport {
            achieved_rate,
            completed_rate: rate(done as f64, sent_s - warm_s),
            output_tokens_per_s: rate(tokens as f64, sent_s - warm_s),
            duration_s: self.last_end_s,
            counts: self.counts,
            errors: self.errors,
            tokens: self.tokens,
            metrics,
            served_by: self.served_by,
            models: self.models,
            flags,
            stage: self.stage,
        }
    }

    fn add_failure(&mut self, class: ErrorClass, record: &Record) {
        self.counts.failed += 1;
        let row = self.errors.entry(class.name()).or_default();
        row.count += 1;
        if row.example.is_none() {
            row.example.clone_from(&record.message);
        }
    }

    fn add_success(&mut self, record: &Record) {
        self.counts.ok += 1;
        self.tokens.input += u64::from(record.prompt_tokens.unwrap_or(record.asked.input_tokens));
        self.tokens.cached += u64::from(record.cached_tokens.unwrap_or(0));
        self.tokens.output += u64::from(record.output_tokens);
        let values = [
            ("ttft_ms", record.ttft_ms),
            ("ttft_from_send_ms", record.ttft_from_send_ms),
            ("tpot_ms", record.tpot_ms),
            ("ntpot_ms", record.ntpot_ms),
            ("ntpot_from_send_ms", record.ntpot_from_send_ms),
            ("e2e_ms", Some(record.e2e_ms)),
            ("e2e_from_send_ms", Some(record.e2e_from_send_ms)),
            ("send_lag_ms", Some(record.lag_ms)),
            ("input_tokens", Some(f64::from(record.prompt_tokens.unwrap_or(record.asked.input_tokens)))),
            ("output_tokens", Some(f64::from(record.output_tokens))),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                self.metrics.entry(name).or_default().record(value);
            }
        }
        if !record.gaps_us.is_empty() {
            let itl = self.metrics.entry("itl_ms").or_default();
            record.gaps_us.iter().for_each(|gap| itl.record(f64::from(*gap) / 1e3));
        }
    }
}

impl Default for Series {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(STEPS_MAX, 3).expect("the bounds are valid");
        Self { histogram, sum: 0.0, max: 0.0 }
    }
}

impl Series {
    /// Takes one value, not negative.
    pub fn record(&mut self, value: f64) {
        self.histogram.saturating_record((value * STEPS).round() as u64);
        self.sum += value;
        self.max = self.max.max(value);
    }

    /// What the values so far look like.
    pub fn summary(&self) -> Summary {
        let count = self.histogram.len();
        let at = |quantile| (self.histogram.value_at_quantile(quantile) as f64 / STEPS).min(self.max);
        let mean = if count == 0 { 0.0 } else { self.sum / count as f64 };
        Summary { count, mean, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: self.max }
    }
}

fn flags(
    stage: &Stage,
    achieved_rate: f64,
    metrics: &BTreeMap<&'static str, Summary>,
    errors: &BTreeMap<String, ErrorRow>,
    stopped: bool,
) -> Vec<Flag> {
    let mut flags = Vec::new();
    if stage.offered_rate.is_some_and(|offered| achieved_rate < ACHIEVED_SHARE_MIN * offered) {
        flags.push(Flag::AchievedRate);
    }
    if metrics.get("send_lag_ms").is_some_and(|lag| lag.p99 > LAG_P99_MAX_MS) {
        flags.push(Flag::SendLag);
    }
    if errors.contains_key(&ErrorClass::NotSent.name()) {
        flags.push(Flag::NotSent);
    }
    if stopped {
        flags.push(Flag::Stopped);
    }
    flags
}

fn count(names: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(count) = names.get_mut(name) {
        *count += 1;
        return;
    }
    let name = if names.len() < NAMES_MAX { name } else { "other" };
    *names.entry(name.to_owned()).or_default() += 1;
}

#[cfg(test)]
mod tests;
