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
    /// When one request may try it again.
    pub until: Time,
    /// How long this ejection lasts.
    pub length: Duration,
    /// Whether that request is under way.
    pub trying: bool,
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
}

impl Default for Health {
    fn default() -> Health {
        Health { life: Life::Unseen, draining: false, leaving: false, failures: 0, ejection: None }
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
        self.ejection.filter(|ejection| ejection.trying || now < ejection.until).map(|_| "ejected")
    }

    /// Whether nothing but an ejection keeps work away: a last resort when every endpoint is ejected.
    pub fn only_ejected(&self) -> bool {
        !self.leaving && !self.draining && self.life == Life::Alive && self.ejection.is_some()
    }

    /// It answered a scrape.
    pub fn answered(&mut self) {
        self.life = Life::Alive;
    }

    /// A scrape has had no answer for too long.
    pub fn silent(&mut self, now: Time) {
        if !matches!(self.life, Life::Silent(_) | Life::Unreachable(_)) {
            self.life = Life::Silent(now);
        }
    }

    /// It cannot be connected to.
    pub fn unreachable(&mut self, now: Time) {
        if !matches!(self.life, Life::Unreachable(_)) {
            self.life = Life::Unreachable(now);
        }
    }

    /// A request is sent there.
    pub fn sent(&mut self) {
        if let Some(ejection) = &mut self.ejection {
            ejection.trying = true;
        }
    }

    /// An exchange went well.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.ejection = None;
    }

    /// An exchange ended without telling whether the endpoint is well.
    pub fn undecided(&mut self) {
        if let Some(ejection) = &mut self.ejection {
            ejection.trying = false;
        }
    }

    /// An exchange failed.
    pub fn failed(&mut self, now: Time, limits: &Limits) {
        self.failures = self.failures.saturating_add(1);
        let length = match self.ejection {
            // Failures of requests that were sent before the ejection say nothing new.
            Some(ejection) if !ejection.trying => return,
            Some(ejection) => (ejection.length * 2).min(limits.ejection_max),
            None if self.failures >= limits.ejection_failures => limits.ejection_base,
            None => return,
        };
        self.ejection = Some(Ejection { until: now + length, length, trying: false });
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
        health.failed(Time::ZERO, &limits);
        health.failed(Time::ZERO, &limits);
        health.succeeded();
        health.failed(Time::ZERO, &limits);
        assert_eq!(health.barred(Time::ZERO), None);
        health.failed(Time::ZERO, &limits);
        health.failed(Time::ZERO, &limits);
        assert_eq!(health.barred(Time::ZERO), Some("ejected"));
    }

    #[test]
    fn after_an_ejection_one_request_tries_and_its_failure_doubles_the_time() {
        let limits = Limits::default();
        let mut health = alive();
        for _ in 0..3 {
            health.failed(Time::ZERO, &limits);
        }
        let later = Time::ZERO + limits.ejection_base;
        assert_eq!(health.barred(later), None);
        health.sent();
        assert_eq!(health.barred(later), Some("ejected"));
        health.failed(later, &limits);
        assert_eq!(health.barred(later + limits.ejection_base), Some("ejected"));
        assert_eq!(health.barred(later + limits.ejection_base * 2), None);
        health.sent();
        health.succeeded();
        assert_eq!(health.barred(later), None);
    }

    #[test]
    fn silence_begins_once_and_an_answer_ends_it() {
        let mut health = alive();
        health.silent(Time::from_millis(1));
        health.silent(Time::from_millis(9));
        assert_eq!(health.life, Life::Silent(Time::from_millis(1)));
        health.answered();
        assert_eq!(health.barred(Time::from_millis(10)), None);
    }
}
