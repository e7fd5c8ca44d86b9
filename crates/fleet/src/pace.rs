//! When to look again: the interval with jitter, and back-off while looking fails. Pure: randomness comes in.

use std::time::Duration;

/// Share by which a pause varies, up and down, so that endpoints are not all looked at in the same instant.
const JITTER: f64 = 0.1;
/// Longest pause while an endpoint cannot be reached, or answers only at some cost.
pub(crate) const FAILING_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Longest pause while an endpoint answers, but with no page. These answers are its only sign of life: with
/// a longer pause a hung one would not be seen within a second.
pub(crate) const PAGELESS_PAUSE_MAX: Duration = Duration::from_millis(300);

/// What looking brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// What was asked for.
    Good,
    /// An answer, cheap to get, without what was asked for.
    Pageless,
    /// Nothing, or something expensive.
    Failed,
}

/// The pauses of one task.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    first_failure: Duration,
    failures: u32,
}

impl Pace {
    /// Looks every `interval`; after a failure `first_failure` passes, then twice as long each time.
    pub(crate) fn new(interval: Duration, first_failure: Duration) -> Pace {
        Pace { interval, first_failure, failures: 0 }
    }

    /// The pause before the first look. `random` is in 0..1.
    pub(crate) fn first(&self, random: f64) -> Duration {
        self.interval.min(self.first_failure).mul_f64(random)
    }

    /// The pause from the start of the look that brought `look` to the next one. `random` is in 0..1.
    pub(crate) fn after(&mut self, look: Look, random: f64) -> Duration {
        let pause = match look {
            Look::Good => {
                self.failures = 0;
                self.interval
            }
            Look::Pageless => self.backed_off(PAGELESS_PAUSE_MAX.max(self.interval)),
            Look::Failed => self.backed_off(FAILING_PAUSE_MAX.max(self.interval)),
        };
        pause.mul_f64(1.0 + JITTER * (2.0 * random - 1.0))
    }

    fn backed_off(&mut self, pause_max: Duration) -> Duration {
        let pause = self.first_failure.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        pause.min(pause_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS_50: Duration = Duration::from_millis(50);

    fn pauses(look: Look, count: usize) -> Vec<u128> {
        let mut pace = Pace::new(MS_50, MS_50);
        (0..count).map(|_| pace.after(look, 0.5).as_millis()).collect()
    }

    #[test]
    fn good_looks_keep_the_interval() {
        assert_eq!(pauses(Look::Good, 3), [50, 50, 50]);
    }

    #[test]
    fn failures_double_the_pause_up_to_its_bound() {
        assert_eq!(pauses(Look::Failed, 8), [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(pauses(Look::Pageless, 5), [50, 100, 200, 300, 300]);
    }

    #[test]
    fn a_good_look_ends_the_back_off() {
        let mut pace = Pace::new(MS_50, MS_50);
        for _ in 0..100 {
            pace.after(Look::Failed, 0.5);
        }
        assert_eq!(pace.after(Look::Good, 0.5), MS_50);
        assert_eq!(pace.after(Look::Failed, 0.5), MS_50);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let mut pace = Pace::new(MS_50, MS_50);
        assert_eq!(pace.after(Look::Good, 0.0), Duration::from_millis(45));
        assert_eq!(pace.after(Look::Good, 1.0), Duration::from_millis(55));
        assert_eq!(pace.first(0.0), Duration::ZERO);
    }

    #[test]
    fn an_interval_longer_than_the_bounds_is_kept() {
        let long = Duration::from_secs(5);
        let mut pace = Pace::new(long, long);
        assert_eq!(pace.after(Look::Failed, 0.5), long);
        assert_eq!(pace.after(Look::Pageless, 0.5), long);
    }
}
