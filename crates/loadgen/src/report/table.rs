//! The table on the terminal: one line per stage, then what went wrong.

use super::{ErrorRow, Flag, Report, RowReport};
use std::fmt;

/// Metrics shown with median, 90th and 99th percentile.
const SHOWN: [(&str, &str); 4] =
    [("TTFT ms", "ttft_ms"), ("TPOT ms", "tpot_ms"), ("NTPOT ms", "ntpot_ms"), ("E2E ms", "e2e_ms")];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![head()];
        lines.extend(self.rows.iter().map(line));
        write_aligned(f, &lines)?;
        for row in &self.rows {
            for (class, ErrorRow { count, example }) in &row.errors {
                let example = example.as_ref().map_or_else(String::new, |text| format!(": {text}"));
                writeln!(f, "{}: {count} × {class}{example}", row.stage.label)?;
            }
            for flag in &row.flags {
                writeln!(f, "{}: FLAGGED, {}", row.stage.label, reason(*flag, row))?;
            }
        }
        Ok(())
    }
}

fn head() -> Vec<String> {
    let mut cells: Vec<String> =
        ["stage", "sent/s", "done/s", "tok/s", "ok", "failed"].map(String::from).into();
    cells.extend(SHOWN.iter().map(|(title, _)| format!("{title} mean/p50/p90/p99")));
    cells.extend(["lag p99 ms", "flags"].map(String::from));
    cells
}

fn line(row: &RowReport) -> Vec<String> {
    let mut cells = vec![
        row.stage.label.clone(),
        number(row.achieved_rate),
        number(row.completed_rate),
        number(row.output_tokens_per_s),
        row.counts.ok.to_string(),
        row.counts.failed.to_string(),
    ];
    cells.extend(SHOWN.iter().map(|(_, name)| match row.metrics.get(name) {
        Some(s) => [s.mean, s.p50, s.p90, s.p99].map(number).join("/"),
        None => "-".into(),
    }));
    cells.push(row.metrics.get("send_lag_ms").map_or_else(|| "-".into(), |lag| number(lag.p99)));
    cells.push(if row.flags.is_empty() { "-".into() } else { "FLAGGED".into() });
    cells
}

fn reason(flag: Flag, row: &RowReport) -> String {
    match flag {
        Flag::AchievedRate => format!(
            "sent {}/s of {}/s offered",
            number(row.achieved_rate),
            number(row.stage.offered_rate.unwrap_or_default())
        ),
        Flag::SendLag => "requests were sent more than 5 ms late (p99)".into(),
        Flag::NotSent => "requests were not sent: too many in flight".into(),
        Flag::Stopped => "stopped early".into(),
    }
}

/// Three significant digits, no exponent.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn write_aligned(f: &mut fmt::Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for cells in lines {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        writeln!(f, "{}", padded.join("  "))?;
    }
    Ok(())
}
