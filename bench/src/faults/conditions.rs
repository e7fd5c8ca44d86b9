//! What was promised, beside what was seen. Pure.

use std::fmt;

use roadstead_loadgen::{ErrorClass, Record};
use serde::Serialize;

use super::story::{Seen, Story};

/// How soon a server that is well again gets work, seconds.
const BACK_MAX_S: f64 = 3.0;
/// How soon a stopped or failing server gets no new work, seconds.
const NO_WORK_AFTER_S: f64 = 1.0;
/// Share of the requests that may try a server that answers 500.
const TRIALS_SHARE_MAX: f64 = 0.01;
/// 99th percentiles of the untouched against the control run.
const P99_RATIO_MAX: f64 = 1.1;

/// One promise.
#[derive(Debug, Serialize)]
pub struct Condition {
    pub policy: String,
    pub story: &'static str,
    pub what: String,
    /// None: a figure beside the promises.
    pub holds: Option<bool>,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.holds {
            Some(true) => "pass",
            Some(false) => "MISS",
            None => "    ",
        };
        write!(f, "{verdict} {}: {}", self.story, self.what)
    }
}

/// The conditions of the runs of one story, each with its control run.
pub fn of(policy: &str, runs: &[(Seen, Seen)]) -> Vec<Condition> {
    let Some((seen, _)) = runs.first() else { return Vec::new() };
    let (story, conditions) = match seen.story {
        Story::Control => return Vec::new(),
        Story::Killed => ("killed", killed(seen)),
        Story::Stopped => {
            ("stopped", runs.iter().flat_map(|(seen, _)| stopped(seen)).chain(beside(runs)).collect())
        }
        Story::Failing => ("answers 500", failing(seen)),
    };
    conditions
        .into_iter()
        .map(|(what, holds)| Condition { policy: policy.to_owned(), story, what, holds })
        .collect()
}

type Checked = (String, Option<bool>);

fn killed(seen: &Seen) -> Vec<Checked> {
    vec![unbegun_errors(seen), begun_errors(seen), moved(seen), back(seen)]
}

fn stopped(seen: &Seen) -> Vec<Checked> {
    vec![no_new_work(seen), unbegun_errors(seen), begun_errors(seen), moved(seen), back(seen)]
}

/// Requests that were never sent to the stopped server, all runs together.
fn beside(runs: &[(Seen, Seen)]) -> Vec<Checked> {
    let check = |name: &str, value: fn(&Record) -> Option<f64>| {
        let ours = p99(runs.iter().flat_map(|(seen, _)| untouched(seen, seen)), value);
        let theirs = p99(runs.iter().flat_map(|(seen, control)| untouched(control, seen)), value);
        let ratio = ours / theirs;
        let what = format!(
            "p99 {name} of requests never sent there {ours:.1} ms, control {theirs:.1} ms: {ratio:.2}"
        );
        (what, Some(ratio <= P99_RATIO_MAX))
    };
    vec![check("TTFT", |one| one.ttft_ms), check("E2E", |one| Some(one.e2e_ms))]
}

fn failing(seen: &Seen) -> Vec<Checked> {
    let errors: Vec<&Record> = seen.records.iter().filter(|one| one.error.is_some()).collect();
    let processed = |one: &&&Record| {
        one.error == Some(ErrorClass::Status(500)) && one.endpoint.as_deref() == Some(seen.first.as_str())
    };
    let others = errors.len() - errors.iter().filter(processed).count();
    let last_s = errors.iter().map(|one| one.sent_s - seen.begun_s).fold(0.0, f64::max);
    vec![
        ejected(seen),
        (format!("{others} errors other than the server's own 500"), Some(others == 0)),
        (format!("{} requests got its 500, the last sent {last_s:.2} s after it began", errors.len()), None),
        back(seen),
    ]
}

/// Nobody may see an error whose answer had not begun.
fn unbegun_errors(seen: &Seen) -> Checked {
    let count = seen.records.iter().filter(|one| one.error.is_some() && one.ttft_ms.is_none()).count();
    (format!("{count} errors of {} where no answer had begun", seen.records.len()), Some(count == 0))
}

fn begun_errors(seen: &Seen) -> Checked {
    let count = seen.records.iter().filter(|one| one.error.is_some() && one.ttft_ms.is_some()).count();
    (format!("{count} answers ended early that had begun"), None)
}

/// Requests that were sent to a second endpoint.
fn moved(seen: &Seen) -> Checked {
    let tried = |one: &&Record| seen.tries.get(&one.asked.index).is_some_and(|&tries| tries > 1);
    let moved: Vec<&Record> = seen.records.iter().filter(tried).collect();
    let most = moved.iter().filter_map(|one| one.ttft_ms).fold(0.0, f64::max) / 1e3;
    (format!("{} requests moved, the slowest with its first token after {most:.2} s", moved.len()), None)
}

fn no_new_work(seen: &Seen) -> Checked {
    let from_s = seen.begun_s + NO_WORK_AFTER_S;
    let late = seen.picks_until(seen.ended_s) - seen.picks_until(from_s);
    let last = seen.picks_until(from_s);
    let since =
        seen.picks.iter().find(|(_, picks)| *picks >= last).map_or(0.0, |(at_s, _)| at_s - seen.begun_s);
    let what = format!("{late:.0} picks of it from 1 s on; before that the last was seen after {since:.2} s");
    (what, Some(late == 0.0))
}

/// From 1 s on it gets a trial now and then, and no more.
fn ejected(seen: &Seen) -> Checked {
    let from_s = seen.begun_s + NO_WORK_AFTER_S;
    let picks = seen.picks_until(seen.ended_s) - seen.picks_until(from_s);
    let sent = seen.records.iter().filter(|one| (from_s..seen.ended_s).contains(&one.sent_s)).count();
    let share = picks / sent.max(1) as f64;
    (format!("{picks:.0} of {sent} requests tried it from 1 s on"), Some(share <= TRIALS_SHARE_MAX))
}

/// When the server that is well again answered a request that was sent after that.
fn back(seen: &Seen) -> Checked {
    let first = seen
        .records
        .iter()
        .filter(|one| one.error.is_none() && one.sent_s > seen.ended_s)
        .filter(|one| one.endpoint.as_deref() == Some(seen.first.as_str()))
        .map(|one| one.sent_s - seen.ended_s)
        .fold(f64::INFINITY, f64::min);
    (format!("in use {first:.2} s after it was well again"), Some(first <= BACK_MAX_S))
}

/// Requests of the time of the fault in `of` that went to another server at once.
fn untouched<'a>(run: &'a Seen, of: &'a Seen) -> impl Iterator<Item = &'a Record> {
    run.records
        .iter()
        .filter(|one| (of.begun_s..of.ended_s).contains(&one.intended_s))
        .filter(|one| one.endpoint.as_deref().is_some_and(|endpoint| endpoint != run.first))
        .filter(|one| run.tries.get(&one.asked.index).is_none_or(|&tries| tries == 1))
}

fn p99<'a>(records: impl Iterator<Item = &'a Record>, value: fn(&Record) -> Option<f64>) -> f64 {
    let mut values: Vec<f64> = records.filter_map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(picks: Vec<(f64, f64)>) -> Seen {
        Seen {
            story: Story::Stopped,
            first: "a".to_owned(),
            records: Vec::new(),
            tries: Default::default(),
            picks,
            begun_s: 4.0,
            ended_s: 9.0,
        }
    }

    #[test]
    fn a_pick_within_the_first_second_is_no_miss_and_a_later_one_is() {
        let early = seen(vec![(3.9, 7.0), (4.5, 8.0), (8.9, 8.0), (9.1, 20.0)]);
        assert_eq!(no_new_work(&early).1, Some(true));
        let late = seen(vec![(3.9, 7.0), (4.5, 8.0), (8.9, 9.0)]);
        assert_eq!(no_new_work(&late).1, Some(false));
    }

    #[test]
    fn a_server_that_never_comes_back_is_a_miss() {
        assert_eq!(back(&seen(Vec::new())).1, Some(false));
    }
}
