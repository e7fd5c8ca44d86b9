//! What was promised, beside what was measured: means over the seeds, and quantiles over the requests of all seeds.

use super::arm::Arm;
use super::figures::{Figures, mean, quantile};
use super::scenario::Point;

/// least-wait against session hashing.
const HASH_RATIO_MAX: f64 = 1.05;
/// least-wait against the policies that do not know sessions.
const OTHERS_RATIO_MAX: f64 = 1.0 / 3.0;
const BUSY: std::ops::RangeInclusive<f64> = 0.6..=0.8;
const WORKING_SET_TOLERANCE: f64 = 0.05;

struct Pooled {
    means: Vec<f64>,
    p99s: Vec<f64>,
    mean: f64,
    p99: f64,
}

/// Prints the conditions of one point.
pub fn print(point: &Point, all: &[Figures]) {
    let of = |arm: Arm| -> Vec<&Figures> {
        all.iter().filter(|one| one.row.arm == arm && one.row.sessions == point.sessions).collect()
    };
    let (hash, ours) = (of(Arm::Hash), of(Arm::LeastWait));
    println!("\n{} sessions, {} seeds", point.sessions, ours.len());
    if ours.is_empty() {
        return;
    }
    let least_wait = pool(&ours);
    if !hash.is_empty() {
        let over = |value: fn(&Figures) -> f64| mean(&hash.iter().map(|one| value(one)).collect::<Vec<_>>());
        let (busy, set) = (over(|one| one.row.busy), over(|one| one.row.working_set));
        let near = (set - point.working_set).abs() <= WORKING_SET_TOLERANCE;
        say(&format!("working set {set:.2} of all KV, meant {:.2}", point.working_set), near);
        say(&format!("engines busy under hash {busy:.2}, meant 0.60 to 0.80"), BUSY.contains(&busy));
        let pooled = pool(&hash);
        compare("mean TTFT, least-wait / hash", (least_wait.mean, pooled.mean), HASH_RATIO_MAX);
        println!("     {}", seeds(&least_wait.means, &pooled.means));
        compare("p99 TTFT, least-wait / hash", (least_wait.p99, pooled.p99), HASH_RATIO_MAX);
        println!("     {}", seeds(&least_wait.p99s, &pooled.p99s));
    }
    for arm in [Arm::UpstreamDefault, Arm::LeastRequest, Arm::RoundRobin] {
        let other = of(arm);
        if !other.is_empty() {
            let pooled = pool(&other);
            let what = format!("mean TTFT, least-wait / {}", arm.name());
            compare(&what, (least_wait.mean, pooled.mean), OTHERS_RATIO_MAX);
            println!("     {}", seeds(&least_wait.means, &pooled.means));
        }
    }
}

fn pool(figures: &[&Figures]) -> Pooled {
    let means: Vec<f64> = figures.iter().map(|one| one.row.ttft_mean_ms).collect();
    let mut values: Vec<f64> = figures.iter().flat_map(|one| one.ttft_ms.iter().copied()).collect();
    values.sort_by(f64::total_cmp);
    Pooled {
        mean: mean(&means),
        p99: quantile(&values, 0.99),
        p99s: figures.iter().map(|one| one.row.ttft_p99_ms).collect(),
        means,
    }
}

fn compare(what: &str, (ours, other): (f64, f64), ratio_max: f64) {
    let ratio = ours / other;
    say(
        &format!("{what}: {ours:.0} / {other:.0} ms = {ratio:.2}, at most {ratio_max:.2}"),
        ratio <= ratio_max,
    );
}

fn seeds(ours: &[f64], others: &[f64]) -> String {
    let ratios: Vec<String> =
        ours.iter().zip(others).map(|(one, other)| format!("{:.2}", one / other)).collect();
    format!("by seed {}", ratios.join(" "))
}

fn say(what: &str, holds: bool) {
    println!("{} {what}", if holds { "pass" } else { "MISS" });
}
