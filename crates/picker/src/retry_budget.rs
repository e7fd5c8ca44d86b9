//! How many requests may be sent again: a share of those offered, so that a failing pool is not buried in resends.

use roadstead_core::Time;

use crate::limits::{RESEND_BURST, RESEND_MIN_PER_S, RESEND_SHARE_PERCENT};

/// Counted in billionths of a resend: a rate per second is then as many of them per nanosecond, without rounding.
const ONE: u64 = 1_000_000_000;

/// A bucket of resends.
#[derive(Clone, Debug)]
pub(crate) struct RetryBudget {
    nano_resends: u64,
    at: Time,
}

impl RetryBudget {
    pub(crate) fn new() -> RetryBudget {
        RetryBudget { nano_resends: RESEND_BURST * ONE, at: Time::ZERO }
    }

    /// A request was offered.
    pub(crate) fn offered(&mut self) {
        self.add(ONE / 100 * RESEND_SHARE_PERCENT);
    }

    /// Takes one resend; false when there is none.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let passed = u64::try_from(now.since(self.at).as_nanos()).unwrap_or(u64::MAX);
        self.add(passed.saturating_mul(RESEND_MIN_PER_S));
        self.at = self.at.max(now);
        let granted = self.nano_resends >= ONE;
        if granted {
            self.nano_resends -= ONE;
        }
        granted
    }

    /// A resend that was taken did not happen.
    pub(crate) fn give_back(&mut self) {
        self.add(ONE);
    }

    fn add(&mut self, nano_resends: u64) {
        self.nano_resends = self.nano_resends.saturating_add(nano_resends).min(RESEND_BURST * ONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resends_end_with_the_budget_and_come_back_with_time_and_traffic() {
        let mut budget = RetryBudget::new();
        let granted = (0..1000).filter(|_| budget.take(Time::ZERO)).count();
        assert_eq!(granted, RESEND_BURST as usize);
        for _ in 0..10 {
            budget.offered();
        }
        assert!(budget.take(Time::ZERO) && budget.take(Time::ZERO) && !budget.take(Time::ZERO));
        assert!(budget.take(Time::from_millis(100)));
    }

    #[test]
    fn a_clock_that_steps_back_grants_nothing() {
        let mut budget = RetryBudget::new();
        while budget.take(Time::from_millis(5_000)) {}
        assert!(!budget.take(Time::ZERO));
        assert!(!budget.take(Time::from_millis(5_000)));
        assert!(budget.take(Time::NEVER));
    }
}
