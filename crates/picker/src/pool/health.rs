//! Whether an endpoint gets new work: life as scrapes show it, ejection as exchanges show it.

use std::time::Duration;

use roadstead_core::Time;

use crate::limits::Limits;

/// What scrapes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Nothing has been heard yet.
    Unseen,
    /// The last scrape was answered.
    Alive,
    /// A scrape waits for its answer for too long, since then.
    Silent(Time),
    /// It cannot be connected to, since then.
    Unreachable(Time),
}

/// Out of use because exchanges failed in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// When one request may try it again. A trial puts it off by `length`, so that one that hangs is not the last.
    pub until: Time,
    /// How long this ejection lasts.
    pub length: Duration,
}

/// Health of one endpoint.
#[derive(Clone, Debug)]
pub struct Health {
    /// What scrapes say.
    pub life: Life,
    /// Takes no new work by order.
    pub draining: bool,
    /// No longer in the pool; what runs may finish.
    pub leaving: bool,
    /// Failed exchanges in a row.
    pub failures: u32,
    /// Out of use because of them.
    pub ejection: Option<Ejection>,
    /// When requests without a first byte are to be sent elsewhere, while it is silent or unreachable.
    pub move_at: Option<Time>,
    /// When it last answered after it had not.
    pub recovered: Option<Time>,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            life: Life::Unseen,
            draining: false,
            leaving: false,
            failures: 0,
            ejection: None,
            move_at: None,
            recovered: None,
        }
    }
}

impl Health {
    /// Why it gets no new work; `None` when it does.
    pub fn barred(&self, now: Time) -> Option<&'static str> {
        if self.leaving {
            return Some("leaving");
        }
        if self.draining {
            return Some("draining");
        }
        match self.life {
            Life::Unseen => return Some("unseen"),
            Life::Silent(_) => return Some("silent"),
            Life::Unreachable(_) => return Some("unreachable"),
            Life::Alive => {}
        }
        self.ejection.filter(|ejection| now < ejection.until).map(|_| "ejected")
    }

    /// Whether nothing but an ejection can keep work away.
    pub fn is_open(&self) -> bool {
        !self.leaving && !self.draining && self.life == Life::Alive
    }

    /// Whether it stood still at some time since `then`: what was timed over that says nothing of its speed.
    pub fn stood_still(&self, then: Time) -> bool {
        matches!(self.life, Life::Silent(_) | Life::Unreachable(_))
            || self.recovered.is_some_and(|at| at >= then)
    }

    /// It answered a scrape.
    pub fn answered(&mut self, now: Time) {
        if matches!(self.life, Life::Silent(_) | Life::Unreachable(_)) {
            self.recovered = Some(now);
        }
        self.life = Life::Alive;
        self.move_at = None;
    }

    /// A scrape has had no answer for too long.
    pub fn silent(&mut self, now: Time, limits: &Limits) {
        if !matches!(self.life, Life::Silent(_) | Life::Unreachable(_)) {
            self.life = Life::Silent(now);
            self.move_at = Some(now + limits.move_after);
        }
    }

    /// It cannot be connected to.
    pub fn unreachable(&mut self, now: Time, limits: &Limits) {
        match self.life {
            Life::Unreachable(_) => return,
            // What hangs there has hung since the silence began.
            Life::Silent(_) => {}
            Life::Unseen | Life::Alive => self.move_at = Some(now + limits.move_after),
        }
        self.life = Life::Unreachable(now);
    }

    /// A request is sent there. True when it is the trial after an ejection.
    pub fn sent(&mut self, now: Time) -> bool {
        let Some(ejection) = &mut self.ejection else { return false };
        let trial = ejection.until <= now;
        if trial {
            ejection.until = now + ejection.length;
        }
        trial
    }

    /// An exchange went well.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.ejection = None;
    }

    /// A trial ended without telling whether the endpoint is well; the next request tries.
    pub fn undecided(&mut self, now: Time) {
        if let Some(ejection) = &mut self.ejection {
            ejection.until = ejection.until.min(now);
        }
    }

    /// An exchange failed; `trial` says whether it was the trial after an ejection.
    pub fn failed(&mut self, now: Time, limits: &Limits, trial: bool) {
        self.failures = self.failures.saturating_add(1);
        let length = match self.ejection {
            Some(ejection) if trial => (ejection.length * 2).min(limits.ejection_max),
            // Failures of requests that were sent before the ejection say nothing new.
            Some(_) => return,
            None if self.failures >= limits.ejection_failures => limits.ejection_base,
            None => return,
        };
        self.ejection = Some(Ejection { until: now + length, length });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive() -> Health {
        Health { life: Life::Alive, ..Health::default() }
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_in_between_does_not() {
        let limits = Limits::default();
        let mut health = alive();
        health.failed(Time::ZERO, &limits, false);
        health.failed(Time::ZERO, &limits, false);
        health.succeeded();
        health.failed(Time::ZERO, &limits, false);
        assert_eq!(health.barred(Time::ZERO), None);
        health.failed(Time::ZERO, &limits, false);
        health.failed(Time::ZERO, &limits, false);
        assert_eq!(health.barred(Time::ZERO), Some("ejected"));
    }

    #[test]
    fn after_an_ejection_one_request_tries_and_its_failure_doubles_the_time() {
        let limits = Limits::default();
        let mut health = alive();
        for _ in 0..3 {
            health.failed(Time::ZERO, &limits, false);
        }
        let later = Time::ZERO + limits.ejection_base;
        assert_eq!(health.barred(later), None);
        assert!(health.sent(later), "the first is the trial");
        assert!(!health.sent(later), "the second is not");
        assert_eq!(health.barred(later), Some("ejected"));
        health.failed(later, &limits, true);
        assert_eq!(health.barred(later + limits.ejection_base), Some("ejected"));
        assert_eq!(health.barred(later + limits.ejection_base * 2), None);
        health.succeeded();
        assert_eq!(health.barred(later), None);
    }

    #[test]
    fn silence_begins_once_and_an_answer_ends_it() {
        let mut health = alive();
        let limits = Limits::default();
        health.silent(Time::from_millis(1), &limits);
        health.silent(Time::from_millis(9), &limits);
        assert_eq!(health.life, Life::Silent(Time::from_millis(1)));
        health.unreachable(Time::from_millis(10), &limits);
        assert_eq!(health.move_at, Some(Time::from_millis(1) + limits.move_after), "one trouble, one time");
        health.answered(Time::from_millis(10));
        assert_eq!((health.barred(Time::from_millis(10)), health.move_at), (None, None));
        assert!(health.stood_still(Time::from_millis(10)) && !health.stood_still(Time::from_millis(11)));
    }

    #[test]
    fn a_trial_that_hangs_is_followed_by_another_and_an_undecided_one_at_once() {
        let limits = Limits::default();
        let mut health = alive();
        for _ in 0..3 {
            health.failed(Time::ZERO, &limits, false);
        }
        let due = Time::ZERO + limits.ejection_base;
        assert!(health.sent(due));
        assert_eq!(health.barred(due + limits.ejection_base), None);
        assert!(health.sent(due + limits.ejection_base));
        health.undecided(due + limits.ejection_base);
        assert_eq!(health.barred(due + limits.ejection_base), None);
    }

    #[test]
    fn failures_from_before_an_ejection_do_not_lengthen_it() {
        let limits = Limits::default();
        let mut health = alive();
        for _ in 0..20 {
            health.failed(Time::ZERO, &limits, false);
        }
        assert_eq!(health.barred(Time::ZERO + limits.ejection_base), None);
    }
}
