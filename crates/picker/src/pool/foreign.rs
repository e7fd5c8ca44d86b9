//! The load on an endpoint that did not come through this gateway: what scrapes show beyond our own account.

/// What others have on an endpoint, as far as a scrape can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ForeignLoad {
    /// Their requests in the engine's queue.
    pub waiting: f32,
    /// Their requests in its running batch.
    pub running: f32,
}

/// Follows the foreign load of one endpoint.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    load: ForeignLoad,
    previous_total: f32,
    own_peak: u32,
}

impl Foreign {
    /// Our own sequences on the endpoint changed.
    pub fn own(&mut self, sequences: u32) {
        self.own_peak = self.own_peak.max(sequences);
    }

    /// The engine says `waiting` and `running`; we have `own` sequences there now.
    ///
    /// A page may be older than our account by a step or a network delay. So the most that we had since the last
    /// page is taken off, and a surplus counts only once two pages in a row show it.
    pub fn scraped(&mut self, waiting: u32, running: u32, own: u32) {
        let seen = waiting as f32 + running as f32;
        let total = (seen - self.own_peak.max(own) as f32).max(0.0);
        let steady = total.min(self.previous_total);
        self.previous_total = total;
        self.own_peak = own;
        self.load = if seen > 0.0 {
            let queued = steady * waiting as f32 / seen;
            ForeignLoad { waiting: queued, running: steady - queued }
        } else {
            ForeignLoad::default()
        };
    }

    /// Nothing is known any more.
    pub fn clear(&mut self) {
        *self = Foreign::default();
    }

    /// The load of others.
    pub fn load(&self) -> ForeignLoad {
        self.load
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_requests_are_not_foreign() {
        let mut foreign = Foreign::default();
        foreign.own(5);
        foreign.scraped(2, 3, 5);
        foreign.scraped(2, 3, 5);
        assert_eq!(foreign.load(), ForeignLoad::default());
    }

    #[test]
    fn a_surplus_counts_after_two_pages() {
        let mut foreign = Foreign::default();
        foreign.scraped(8, 8, 0);
        assert_eq!(foreign.load(), ForeignLoad::default());
        foreign.scraped(8, 8, 0);
        assert_eq!(foreign.load(), ForeignLoad { waiting: 8.0, running: 8.0 });
        foreign.scraped(0, 0, 0);
        assert_eq!(foreign.load(), ForeignLoad::default());
    }

    #[test]
    fn a_page_that_still_shows_our_finished_requests_shows_nobody_elses() {
        let mut foreign = Foreign::default();
        foreign.own(4);
        foreign.scraped(0, 4, 0);
        foreign.scraped(0, 1, 0);
        assert_eq!(foreign.load(), ForeignLoad::default());
    }
}
