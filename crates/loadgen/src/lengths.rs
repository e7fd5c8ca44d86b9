//! Laws of lengths and of think times.
//!
//! Pure: a seeded generator comes in, a number goes out. Lengths are tokens of four bytes of text and never below one.
//! The ShareGPT tables are the quantiles of the data set as the Latency Profile Generator filters it (4 to 1024 tokens
//! each way), interpolated in the logarithm between the knots.

use crate::random::{exponential, normal};
use serde::{Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// The longest prompt or answer that a law may give, in tokens.
pub const LENGTH_MAX_TOKENS: u32 = 4_000_000;

/// Quantile and tokens, ascending.
const SHAREGPT_INPUT: [(f64, f64); 8] = [
    (0.0, 4.0),
    (0.1, 11.8),
    (0.25, 32.8),
    (0.5, 109.0),
    (0.75, 450.0),
    (0.9, 714.0),
    (0.99, 987.0),
    (1.0, 1024.0),
];
const SHAREGPT_OUTPUT: [(f64, f64); 8] = [
    (0.0, 4.0),
    (0.1, 25.6),
    (0.25, 37.1),
    (0.5, 144.0),
    (0.75, 339.7),
    (0.9, 564.0),
    (0.99, 948.0),
    (1.0, 1024.0),
];

/// Which column of a table a law without a side of its own means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Prompts.
    Input,
    /// Answers.
    Output,
}

/// How many tokens a text has.
#[derive(Clone, Debug, PartialEq)]
pub enum LengthLaw {
    /// Always this many.
    Fixed(u32),
    /// Any from the first to the second, both included.
    Uniform(u32, u32),
    /// Log-normal with this mean and standard deviation of the length itself, cut to the bounds.
    LogNormal {
        /// Mean, tokens.
        mean: f64,
        /// Standard deviation, tokens.
        sd: f64,
        /// Smallest, tokens.
        min: u32,
        /// Largest, tokens.
        max: u32,
    },
    /// ShareGPT prompts: mean 251, sd 282.
    ShareGptInput,
    /// ShareGPT answers: mean 225, sd 234.
    ShareGptOutput,
}

/// How long a user of a session thinks before the next turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ThinkLaw {
    /// Always this long.
    Fixed(Duration),
    /// Exponential with this mean.
    Exponential(Duration),
    /// Any between the two.
    Uniform(Duration, Duration),
}

impl LengthLaw {
    /// Reads `128`, `uniform:16,512`, `lognormal:MEAN,SD[,MIN,MAX]` or `sharegpt`.
    pub fn parse(text: &str, side: Side) -> Result<Self, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let numbers = numbers(rest)?;
        let law = match (name, numbers.as_slice()) {
            ("sharegpt", []) if side == Side::Input => Self::ShareGptInput,
            ("sharegpt", []) => Self::ShareGptOutput,
            ("uniform", [min, max]) => Self::Uniform(tokens(*min)?, tokens(*max)?),
            ("lognormal", [mean, sd]) => {
                Self::LogNormal { mean: *mean, sd: *sd, min: 1, max: tokens(mean + 20.0 * sd)? }
            }
            ("lognormal", [mean, sd, min, max]) => {
                Self::LogNormal { mean: *mean, sd: *sd, min: tokens(*min)?, max: tokens(*max)? }
            }
            ("fixed", [length]) => Self::Fixed(tokens(*length)?),
            (length, []) if length.parse::<u32>().is_ok() => {
                Self::Fixed(tokens(length.parse().map_err(|e| format!("{e}"))?)?)
            }
            _ => {
                return Err(format!(
                    "unknown length law {text:?}: known are 128, uniform:MIN,MAX, lognormal:MEAN,SD[,MIN,MAX], sharegpt"
                ));
            }
        };
        law.check(text)
    }

    /// One length in tokens, at least 1.
    pub fn sample(&self, rng: &mut fastrand::Rng) -> u32 {
        let length = match self {
            Self::Fixed(length) => *length,
            Self::Uniform(min, max) => rng.u32(*min..=*max),
            Self::LogNormal { mean, sd, min, max } => {
                let variance = (1.0 + (sd / mean).powi(2)).ln();
                let value = (mean.ln() - variance / 2.0 + variance.sqrt() * normal(rng)).exp();
                value.round().clamp(f64::from(*min), f64::from(*max)) as u32
            }
            Self::ShareGptInput => quantile(&SHAREGPT_INPUT, rng.f64()),
            Self::ShareGptOutput => quantile(&SHAREGPT_OUTPUT, rng.f64()),
        };
        length.max(1)
    }

    fn check(self, text: &str) -> Result<Self, String> {
        let ordered = match &self {
            Self::Uniform(min, max) => min <= max,
            Self::LogNormal { mean, sd, min, max } => min <= max && *mean > 0.0 && *sd >= 0.0,
            _ => true,
        };
        if ordered { Ok(self) } else { Err(format!("length law {text:?}: the bounds are not in order")) }
    }
}

impl fmt::Display for LengthLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(length) => write!(f, "{length}"),
            Self::Uniform(min, max) => write!(f, "uniform:{min},{max}"),
            Self::LogNormal { mean, sd, min, max } => write!(f, "lognormal:{mean},{sd},{min},{max}"),
            Self::ShareGptInput | Self::ShareGptOutput => f.write_str("sharegpt"),
        }
    }
}

impl Serialize for LengthLaw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ThinkLaw {
    /// Reads `5s`, `exp:5s` or `uniform:1s,10s`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let law = match text.split_once(':') {
            None => Self::Fixed(duration(text)?),
            Some(("exp", mean)) => Self::Exponential(duration(mean)?),
            Some(("uniform", range)) => match range.split_once(',') {
                Some((min, max)) => Self::Uniform(duration(min)?, duration(max)?),
                None => return Err(format!("think time {text:?}: uniform takes two durations")),
            },
            Some(_) => {
                return Err(format!("unknown think time {text:?}: known are 5s, exp:5s, uniform:1s,10s"));
            }
        };
        match law {
            Self::Uniform(min, max) if min > max => {
                Err(format!("think time {text:?}: the bounds are not in order"))
            }
            law => Ok(law),
        }
    }

    /// One think time.
    pub fn sample(&self, rng: &mut fastrand::Rng) -> Duration {
        match self {
            Self::Fixed(time) => *time,
            Self::Exponential(mean) => mean.mul_f64(exponential(rng)),
            Self::Uniform(min, max) => *min + (*max - *min).mul_f64(rng.f64()),
        }
    }
}

impl fmt::Display for ThinkLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(time) => write!(f, "{time:?}"),
            Self::Exponential(mean) => write!(f, "exp:{mean:?}"),
            Self::Uniform(min, max) => write!(f, "uniform:{min:?},{max:?}"),
        }
    }
}

impl Serialize for ThinkLaw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a duration: a number with `us`, `ms`, `s`, `m` or `h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit in duration {text:?}: known are us, ms, s, m, h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("not a duration: {text:?}"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("duration out of range: {text:?}"))
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let parse = |part: &str| match part.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("not a length: {part:?}")),
    };
    if text.is_empty() { Ok(Vec::new()) } else { text.split(',').map(parse).collect() }
}

fn tokens(length: f64) -> Result<u32, String> {
    if (1.0..=f64::from(LENGTH_MAX_TOKENS)).contains(&length) {
        Ok(length.round() as u32)
    } else {
        Err(format!("length {length} is not between 1 and {LENGTH_MAX_TOKENS} tokens"))
    }
}

/// The length at quantile `at` of `table`.
fn quantile(table: &[(f64, f64)], at: f64) -> u32 {
    let upper = table.iter().position(|(knot, _)| *knot > at).unwrap_or(table.len() - 1);
    let ((q0, low), (q1, high)) = (table[upper - 1], table[upper]);
    let share = (at - q0) / (q1 - q0);
    (low.ln() + share * (high.ln() - low.ln())).exp().round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(law: &LengthLaw) -> (f64, f64) {
        let mut rng = fastrand::Rng::with_seed(42);
        let draws: Vec<f64> = (0..200_000).map(|_| f64::from(law.sample(&mut rng))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn sharegpt_laws_have_the_published_mean_and_deviation() {
        for (law, mean, sd) in
            [(LengthLaw::ShareGptInput, 251.5, 281.6), (LengthLaw::ShareGptOutput, 225.3, 234.5)]
        {
            let (drawn_mean, drawn_sd) = moments(&law);
            assert!((drawn_mean / mean - 1.0).abs() < 0.03, "mean {drawn_mean} for {mean}");
            assert!((drawn_sd / sd - 1.0).abs() < 0.03, "sd {drawn_sd} for {sd}");
        }
    }

    #[test]
    fn lognormal_has_the_asked_mean_and_deviation() {
        let (mean, sd) = moments(&LengthLaw::parse("lognormal:500,200", Side::Input).unwrap());
        assert!((mean / 500.0 - 1.0).abs() < 0.01, "{mean}");
        assert!((sd / 200.0 - 1.0).abs() < 0.02, "{sd}");
    }

    #[test]
    fn quantiles_hit_the_knots() {
        assert_eq!(quantile(&SHAREGPT_INPUT, 0.0), 4);
        assert_eq!(quantile(&SHAREGPT_INPUT, 0.5), 109);
        assert_eq!(quantile(&SHAREGPT_INPUT, 0.9), 714);
        assert_eq!(quantile(&SHAREGPT_INPUT, 1.0), 1024);
    }

    #[test]
    fn laws_stay_within_their_bounds() {
        let mut rng = fastrand::Rng::with_seed(3);
        for text in ["uniform:16,20", "lognormal:18,100,16,20", "fixed:17", "17"] {
            let law = LengthLaw::parse(text, Side::Output).unwrap();
            assert!((0..1000).all(|_| (16..=20).contains(&law.sample(&mut rng))), "{text}");
        }
    }

    #[test]
    fn wrong_laws_are_refused() {
        for text in
            ["", "0", "uniform:5", "uniform:9,2", "lognormal:0,1", "sharegpt:3", "-4", "1e99", "zipf:2"]
        {
            assert!(LengthLaw::parse(text, Side::Input).is_err(), "{text}");
        }
        for text in ["", "5d", "exp:", "uniform:3s", "uniform:9s,1s", "gamma:2s"] {
            assert!(ThinkLaw::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn laws_print_as_they_are_read() {
        for text in ["128", "uniform:16,512", "lognormal:200,100,10,1000", "sharegpt"] {
            assert_eq!(LengthLaw::parse(text, Side::Input).unwrap().to_string(), text);
        }
    }

    #[test]
    fn durations_take_their_units() {
        assert_eq!(duration("810us").unwrap(), Duration::from_micros(810));
        assert_eq!(duration("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        assert_eq!(duration("3").unwrap(), Duration::from_secs(3));
    }

    #[test]
    fn exponential_think_time_has_its_mean() {
        let mut rng = fastrand::Rng::with_seed(5);
        let law = ThinkLaw::parse("exp:2s").unwrap();
        let sum: f64 = (0..100_000).map(|_| law.sample(&mut rng).as_secs_f64()).sum();
        assert!((sum / 200_000.0 - 1.0).abs() < 0.02, "{sum}");
    }
}
