//! Figures as a table for people and as JSON for programs.
//!
//! A figure is the median of its rounds with its range. A ratio is taken round by round, because what is compared ran
//! one after the other within a round and the machine changes more slowly than that.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// Median and range.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// One line of a table.
#[derive(Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// Of which contender.
    pub of: String,
    pub unit: &'static str,
    pub value: Spread,
    /// To the peer in the same round.
    pub ratio: Option<Spread>,
    pub budget: Option<Budget>,
}

/// What a figure may be at most.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    Ratio(f64),
    Value(f64),
}

impl Spread {
    /// Of one value a round; zeros where there was no round.
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        let last = values.len().saturating_sub(1);
        let median = (at(last / 2) + at(values.len() / 2)) / 2.0;
        Spread { median, min: at(0), max: at(last) }
    }

    /// Of the ratios of each round.
    pub fn of_ratios(values: &[f64], peers: &[f64]) -> Option<Spread> {
        if peers.is_empty() {
            return None;
        }
        Some(Spread::of(values.iter().zip(peers).map(|(value, peer)| value / peer).collect()))
    }

    fn text(&self) -> String {
        let digits = if self.median.abs() < 10.0 { 2 } else { 1 };
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
    }
}

impl Figure {
    /// A figure without a peer.
    pub fn alone(what: &str, of: &str, unit: &'static str, values: Vec<f64>) -> Figure {
        let value = Spread::of(values);
        Figure { what: what.to_owned(), of: of.to_owned(), unit, value, ratio: None, budget: None }
    }

    /// With the same rounds of a peer; none if the peer was left out.
    pub fn against(what: &str, of: &str, unit: &'static str, values: Vec<f64>, peers: &[f64]) -> Figure {
        let ratio = Spread::of_ratios(&values, peers);
        Figure { ratio, ..Figure::alone(what, of, unit, values) }
    }

    /// With a budget.
    pub fn within(self, budget: Budget) -> Figure {
        Figure { budget: Some(budget), ..self }
    }

    fn verdict(&self) -> String {
        let (limit, is) = match self.budget {
            Some(Budget::Ratio(limit)) => (limit, self.ratio.map(|ratio| ratio.median)),
            Some(Budget::Value(limit)) => (limit, Some(self.value.median)),
            None => return String::new(),
        };
        let sign = if matches!(self.budget, Some(Budget::Ratio(_))) { "×" } else { "" };
        match is {
            Some(is) if is <= limit => format!("≤ {limit}{sign}: kept"),
            Some(_) => format!("≤ {limit}{sign}: missed"),
            None => format!("≤ {limit}{sign}: no peer"),
        }
    }
}

/// Prints the table, and writes JSON where `json` says.
///
/// # Errors
/// The file could not be written.
pub fn publish(title: &str, figures: &[Figure], json: Option<&Path>) -> anyhow::Result<()> {
    println!("\n{title}; median (range) of the rounds\n");
    println!("| What | Of | Value | Ratio to peer | Budget |");
    println!("|---|---|---|---|---|");
    for figure in figures {
        let ratio = figure.ratio.map_or(String::new(), |ratio| ratio.text());
        println!(
            "| {} | {} | {} {} | {ratio} | {} |",
            figure.what,
            figure.of,
            figure.value.text(),
            figure.unit,
            figure.verdict()
        );
    }
    if let Some(path) = json {
        fs::write(path, serde_json::to_string_pretty(figures)?)
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratio = Spread::of_ratios(&[10.0, 40.0, 12.0], &[10.0, 20.0, 10.0]).unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (1.0, 1.2, 2.0));
    }

    #[test]
    fn a_budget_is_kept_up_to_itself() {
        let figure = |value: f64| {
            Figure::against("cpu", "a", "µs", vec![value], &[10.0]).within(Budget::Ratio(1.5)).verdict()
        };
        assert_eq!(figure(15.0), "≤ 1.5×: kept");
        assert_eq!(figure(15.1), "≤ 1.5×: missed");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Spread::of(vec![1.0, 3.0]).median, 2.0);
        assert_eq!(Spread::of(Vec::new()).median, 0.0);
    }
}
