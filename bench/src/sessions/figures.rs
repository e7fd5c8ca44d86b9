//! From requests to a row. Pure; live runs and virtual time share it.

use std::collections::BTreeMap;
use std::fmt;

use roadstead_engine::Preset;
use serde::Serialize;

use super::arm::Arm;
use super::scenario::{Point, Scenario};

/// One answered request; times in the servers' seconds from the start.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Who holds one session after the other.
    pub client: u64,
    pub sent_s: f64,
    pub end_s: f64,
    pub ttft_ms: f64,
    pub prompt_tokens: u32,
    pub output_tokens: u32,
}

/// What one arm gave.
pub struct Figures {
    pub row: Row,
    /// Of every counted request, ascending.
    pub ttft_ms: Vec<f64>,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub seed: u64,
    pub sessions: u32,
    pub arm: Arm,
    pub requests: usize,
    pub failed: usize,
    pub ttft_mean_ms: f64,
    pub ttft_p50_ms: f64,
    pub ttft_p99_ms: f64,
    /// Share of the prompt tokens that were found in a prefix cache.
    pub cached_share: f64,
    /// Share of the measured time in which an engine had a running request: mean over the engines.
    pub busy: f64,
    /// The same of the busiest.
    pub busy_most: f64,
    /// Tokens of the live sessions' contexts, the shared beginning once a server, over the tokens of all KV blocks.
    pub working_set: f64,
    /// Cores that the servers and the front used.
    pub cores: Option<Cores>,
    /// Whether the load generator kept up.
    pub load_kept_up: bool,
}

/// CPU time per wall time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cores {
    pub servers: f64,
    pub front: f64,
}

/// What was seen beside the requests.
pub struct Beside {
    pub failed: usize,
    /// Of each engine.
    pub busy: Vec<f64>,
    pub cached_share: f64,
    pub cores: Option<Cores>,
    pub load_kept_up: bool,
}

impl Row {
    pub const HEADER: &str = "seed sessions arm               requests failed  mean_ms   p50_ms    p99_ms cached busy (most) working_set cores servers/front";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>4} {:>8} {:<17} {:>8} {:>6} {:>8.1} {:>8.1} {:>9.1} {:>6.3} {:>4.2} {:>6.2} {:>11.3}",
            self.seed,
            self.sessions,
            self.arm.name(),
            self.requests,
            self.failed,
            self.ttft_mean_ms,
            self.ttft_p50_ms,
            self.ttft_p99_ms,
            self.cached_share,
            self.busy,
            self.busy_most,
            self.working_set,
        )?;
        if let Some(cores) = self.cores {
            write!(f, " {:.2}/{:.2}", cores.servers, cores.front)?;
        }
        if self.load_kept_up { Ok(()) } else { f.write_str(" LOAD LAGGED") }
    }
}

impl Figures {
    /// Sums up what was answered.
    pub fn of(
        scenario: &Scenario,
        point: &Point,
        arm: Arm,
        seed: u64,
        seen: (&[Answered], Beside),
    ) -> Figures {
        let (answered, beside) = seen;
        let counted: Vec<&Answered> = answered
            .iter()
            .filter(|one| (scenario.warmup_s..scenario.end_s()).contains(&one.sent_s))
            .collect();
        let mut ttft_ms: Vec<f64> = counted.iter().map(|one| one.ttft_ms).collect();
        ttft_ms.sort_by(f64::total_cmp);
        let row = Row {
            seed,
            sessions: point.sessions,
            arm,
            requests: counted.len(),
            failed: beside.failed,
            ttft_mean_ms: mean(&ttft_ms),
            ttft_p50_ms: quantile(&ttft_ms, 0.5),
            ttft_p99_ms: quantile(&ttft_ms, 0.99),
            cached_share: beside.cached_share,
            busy: mean(&beside.busy),
            busy_most: beside.busy.iter().copied().fold(0.0, f64::max),
            working_set: working_set(scenario, answered),
            cores: beside.cores,
            load_kept_up: beside.load_kept_up,
        };
        Figures { row, ttft_ms }
    }
}

/// The arithmetic mean; zero of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Of ascending values; zero of nothing.
pub fn quantile(ascending: &[f64], share: f64) -> f64 {
    let last = ascending.len().saturating_sub(1);
    ascending.get((last as f64 * share) as usize).copied().unwrap_or(0.0)
}

/// Mean over the measured time. A session's context lives from the end of one answer to the end of the next, and not
/// beyond its last.
fn working_set(scenario: &Scenario, answered: &[Answered]) -> f64 {
    let Some(preset) = Preset::by_name(&scenario.preset) else { return 0.0 };
    let servers = f64::from(scenario.servers);
    let (from, to) = (scenario.warmup_s, scenario.end_s());
    let mut clients: BTreeMap<u64, Vec<&Answered>> = BTreeMap::new();
    for one in answered {
        clients.entry(one.client).or_default().push(one);
    }
    let mut token_seconds = 0.0;
    for turns in clients.values_mut() {
        turns.sort_by(|one, other| one.end_s.total_cmp(&other.end_s));
        for (at, turn) in turns.iter().enumerate() {
            let next = turns.get(at + 1);
            if next.is_some_and(|next| next.prompt_tokens < turn.prompt_tokens) {
                continue;
            }
            let until = next.map_or(to, |next| next.end_s);
            let own = (turn.prompt_tokens + turn.output_tokens).saturating_sub(scenario.system_tokens);
            token_seconds += f64::from(own) * (until.clamp(from, to) - turn.end_s.clamp(from, to));
        }
    }
    let tokens = token_seconds / (to - from) + servers * f64::from(scenario.system_tokens);
    tokens / (servers * f64::from(preset.kv_blocks) * f64::from(preset.block_tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Scenario {
        Scenario::read(include_str!("../../scenarios/sessions.json")).unwrap()
    }

    fn answered(client: u64, end_s: f64, prompt_tokens: u32) -> Answered {
        let sent_s = end_s - 1.0;
        Answered { client, sent_s, end_s, ttft_ms: end_s, prompt_tokens, output_tokens: 0 }
    }

    #[test]
    fn what_begins_in_the_warm_up_is_not_counted() {
        let scenario = scenario();
        let seen = [answered(0, scenario.warmup_s, 20_000), answered(0, scenario.warmup_s + 2.0, 30_000)];
        let beside =
            Beside { failed: 0, busy: vec![0.5, 0.7], cached_share: 0.5, cores: None, load_kept_up: true };
        let figures = Figures::of(&scenario, &scenario.points[0], Arm::Hash, 1, (&seen, beside));
        assert_eq!((figures.row.requests, figures.row.busy_most), (1, 0.7));
        assert_eq!(figures.row.ttft_mean_ms, scenario.warmup_s + 2.0);
    }

    #[test]
    fn a_context_counts_until_the_session_has_had_its_last_answer() {
        let scenario = scenario();
        let half = scenario.warmup_s + scenario.measured_s / 2.0;
        let own = 1_000_000;
        let grown = answered(0, 0.0, scenario.system_tokens + own);
        let renewed = answered(0, half, scenario.system_tokens);
        let nothing = working_set(&scenario, &[]);
        let dead = working_set(&scenario, &[grown, renewed]);
        assert!((dead - nothing).abs() < 1e-9, "a session that is followed by another is over");
        let alive = working_set(&scenario, &[grown]) - nothing;
        assert!((alive - f64::from(own) / (8.0 * 27_701.0 * 16.0)).abs() < 1e-9, "{alive}");
    }
}
