//! How many requests may be sent again: a share of those offered, so that a failing pool is not buried in resends.

use roadstead_core::Time;

use crate::limits::{RESEND_BURST, RESEND_MIN_PER_S, RESEND_SHARE};

/// A bucket of resends.
#[derive(Clone, Debug)]
pub(crate) struct RetryBudget {
    tokens: f64,
    at: Time,
}

impl RetryBudget {
    pub(crate) fn new() -> RetryBudget {
        RetryBudget { tokens: RESEND_BURST, at: Time::ZERO }
    }

    /// A request was offered.
    pub(crate) fn offered(&mut self) {
        self.tokens = (self.tokens + RESEND_SHARE).min(RESEND_BURST);
    }

    /// Takes one resend; false when there is none.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let grown = self.tokens + now.since(self.at).as_secs_f64() * RESEND_MIN_PER_S;
        self.tokens = grown.min(RESEND_BURST);
        self.at = self.at.max(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
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
}
