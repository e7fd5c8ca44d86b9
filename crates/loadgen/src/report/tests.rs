use super::*;
use crate::record::Asked;

fn stage(offered_rate: Option<f64>) -> Stage {
    Stage {
        label: "test".into(),
        offered_rate,
        expected: None,
        span: Some(Duration::from_secs(10)),
        warmup: Duration::from_secs(2),
    }
}

fn record(sent_s: f64, lag_ms: f64, error: Option<ErrorClass>) -> Record {
    let asked = Asked {
        stage: 0,
        index: 0,
        session: None,
        turn: None,
        group: None,
        model: "m".into(),
        target: 0,
        warmup: sent_s < 2.0,
        input_tokens: 10,
        max_tokens: 5,
    };
    Record {
        asked,
        intended_s: sent_s - lag_ms / 1e3,
        sent_s,
        lag_ms,
        end_s: sent_s + 0.1,
        error,
        message: None,
        status: Some(200),
        endpoint: Some("e1".into()),
        events: 5,
        output_tokens: 5,
        prompt_tokens: Some(12),
        cached_tokens: Some(8),
        ttft_ms: Some(20.0 + lag_ms),
        ttft_from_send_ms: Some(20.0),
        tpot_ms: Some(20.0),
        ntpot_ms: Some(20.0),
        ntpot_from_send_ms: Some(20.0),
        e2e_ms: 100.0 + lag_ms,
        e2e_from_send_ms: 100.0,
        itl_max_ms: Some(20.0),
        gaps_us: vec![20_000; 4],
    }
}

fn row(rate: u32, lag_ms: f64) -> RowReport {
    let mut row = Row::new(stage(Some(100.0)));
    (0..rate * 10).for_each(|i| row.add(&record(f64::from(i) / f64::from(rate), lag_ms, None)));
    row.finish(false)
}

#[test]
fn quantiles_are_within_a_thousandth() {
    let mut series = Series::default();
    (1..=100_000).for_each(|i| series.record(f64::from(i) / 10.0));
    let summary = series.summary();
    for (found, right) in
        [(summary.p50, 5000.0), (summary.p90, 9000.0), (summary.p99, 9900.0), (summary.p999, 9990.0)]
    {
        assert!((found / right - 1.0f64).abs() < 0.001, "{found} for {right}");
    }
    assert!((summary.mean - 5000.05).abs() < 1e-6);
    assert_eq!((summary.max, summary.count), (10_000.0, 100_000));
}

#[test]
fn a_series_without_values_is_all_zero() {
    let summary = Series::default().summary();
    assert_eq!((summary.count, summary.mean, summary.p99, summary.max), (0, 0.0, 0.0, 0.0));
}

#[test]
fn warm_up_is_counted_but_not_summed() {
    let row = row(100, 0.0);
    assert_eq!(row.counts, Counts { sent: 1000, warmup: 200, ok: 800, failed: 0 });
    assert_eq!(row.metrics["ttft_ms"].count, 800);
    assert_eq!(row.metrics["itl_ms"].count, 3200);
    assert_eq!(row.tokens, Tokens { input: 9600, cached: 6400, output: 4000 });
    assert_eq!(row.served_by["e1"], 800);
}

#[test]
fn rates_are_those_of_the_sending_window() {
    let row = row(100, 0.0);
    assert!((row.achieved_rate - 100.0).abs() < 0.01, "{}", row.achieved_rate);
    assert!((row.completed_rate - 100.0).abs() < 1.0, "{}", row.completed_rate);
    assert!((row.output_tokens_per_s - 500.0).abs() < 5.0, "{}", row.output_tokens_per_s);
}

#[test]
fn a_generator_that_keeps_up_is_not_flagged() {
    assert_eq!(row(100, 4.9).flags, []);
    assert_eq!(row(98, 0.0).flags, []);
}

#[test]
fn a_generator_that_falls_behind_is_flagged() {
    assert_eq!(row(97, 0.0).flags, [Flag::AchievedRate]);
    assert_eq!(row(100, 5.2).flags, [Flag::SendLag]);
}

#[test]
fn requests_that_were_not_sent_are_no_part_of_the_rate() {
    let mut row = Row::new(stage(Some(100.0)));
    for i in 0..1000u32 {
        let error = (i % 2 == 0).then_some(ErrorClass::NotSent);
        row.add(&record(f64::from(i) / 100.0, 0.0, error));
    }
    let row = row.finish(false);
    assert_eq!(row.counts.sent, 500);
    assert_eq!(row.flags, [Flag::AchievedRate, Flag::NotSent]);
}

#[test]
fn failures_are_counted_by_class_and_not_averaged() {
    let mut row = Row::new(stage(None));
    row.add(&record(3.0, 0.0, Some(ErrorClass::Status(503))));
    row.add(&record(3.0, 0.0, Some(ErrorClass::Status(503))));
    row.add(&record(3.0, 0.0, Some(ErrorClass::Truncated)));
    row.add(&record(3.0, 0.0, None));
    let row = row.finish(false);
    assert_eq!(row.errors["status_503"].count, 2);
    assert_eq!(row.errors["truncated"].count, 1);
    assert_eq!((row.counts.ok, row.counts.failed, row.metrics["e2e_ms"].count), (1, 3, 1));
}

#[test]
fn names_are_bounded() {
    let mut names = BTreeMap::new();
    (0..3000).for_each(|i| count(&mut names, &i.to_string()));
    assert_eq!(names.len(), NAMES_MAX + 1);
    assert_eq!(names["other"], 3000 - NAMES_MAX as u64);
}
