//! When requests are sent: absolute times from the start of a stage, computed before the stage begins.
//!
//! Pure. A sender that sleeps until these times cannot drift, and what it sends late shows as send lag. A schedule
//! always holds exactly the asked number of arrivals inside its span, so that the offered rate is the asked one.

use crate::random::exponential;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// The law of the gaps between arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Process {
    /// Independent arrivals: exponential gaps.
    Poisson,
    /// Equal gaps.
    Constant,
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "poisson" => Ok(Self::Poisson),
            "constant" => Ok(Self::Constant),
            other => Err(format!("unknown arrival process {other:?}: known are poisson, constant")),
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Poisson => "poisson",
            Self::Constant => "constant",
        })
    }
}

/// `count` arrival times in nanoseconds, ascending, in `[0, span_ns)`.
///
/// Poisson arrivals are conditioned on their number: exponential gaps scaled to fill the span, which is the law of a
/// Poisson process given that it had `count` arrivals.
pub fn schedule(process: Process, count: usize, span_ns: u64, rng: &mut fastrand::Rng) -> Vec<u64> {
    let span = span_ns as f64;
    match process {
        Process::Constant => (0..count).map(|i| (span * i as f64 / count as f64) as u64).collect(),
        Process::Poisson => {
            let mut sum = 0.0;
            let mut sums = Vec::with_capacity(count);
            for _ in 0..count {
                sum += exponential(rng);
                sums.push(sum);
            }
            let scale = span / (sum + exponential(rng));
            sums.into_iter().map(|at| (at * scale) as u64).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(times: &[u64]) -> (f64, f64) {
        let gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn poisson_gaps_have_the_asked_mean_and_a_variation_of_one() {
        let times = schedule(Process::Poisson, 100_000, 1_000_000_000_000, &mut fastrand::Rng::with_seed(1));
        let (mean, variation) = gaps(&times);
        assert!((mean / 10_000_000.0 - 1.0).abs() < 0.01, "mean {mean}");
        assert!((variation - 1.0).abs() < 0.02, "variation {variation}");
    }

    #[test]
    fn constant_gaps_are_equal() {
        let times = schedule(Process::Constant, 200, 20_000_000_000, &mut fastrand::Rng::with_seed(1));
        assert!(times.windows(2).all(|w| w[1] - w[0] == 100_000_000));
        assert_eq!(times[0], 0);
    }

    #[test]
    fn schedules_ascend_and_stay_inside_their_span() {
        for process in [Process::Poisson, Process::Constant] {
            for count in [0, 1, 2, 1000] {
                let times = schedule(process, count, 5_000_000_000, &mut fastrand::Rng::with_seed(7));
                assert_eq!(times.len(), count);
                assert!(times.is_sorted());
                assert!(times.iter().all(|&at| at < 5_000_000_000));
            }
        }
    }
}
