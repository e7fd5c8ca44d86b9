//! How many sequences an engine runs at once. It does not report that; a queue that stands still before a batch of
//! constant size shows it.

use std::time::Duration;

use roadstead_core::Time;

/// Pages in a row that must agree.
const PAGES_MIN: u32 = 4;

/// Infers the batch slots of one endpoint from its pages.
#[derive(Clone, Debug, Default)]
pub struct BatchSlots {
    slots: u32,
    running: u32,
    pages: u32,
    since: Time,
}

impl BatchSlots {
    /// A page says `waiting` and `running`. `settled_after` is how long a batch must stand still to be full: many
    /// steps, so that a prompt that is only about to be taken in is not mistaken for a full batch.
    pub fn scraped(&mut self, now: Time, waiting: u32, running: u32, settled_after: Duration) {
        if running > self.slots {
            self.slots = 0;
        }
        if waiting == 0 || running == 0 || running != self.running {
            (self.running, self.pages, self.since) = (running, 0, now);
            return;
        }
        self.pages += 1;
        if self.pages >= PAGES_MIN && now.since(self.since) >= settled_after {
            self.slots = running;
        }
    }

    /// The slots, where they showed.
    pub fn known(&self) -> Option<u32> {
        (self.slots > 0).then_some(self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLED: Duration = Duration::from_millis(160);

    fn feed(slots: &mut BatchSlots, from_ms: u64, pages: &[(u32, u32)]) {
        for (index, (waiting, running)) in pages.iter().enumerate() {
            slots.scraped(Time::from_millis(from_ms + 50 * index as u64), *waiting, *running, SETTLED);
        }
    }

    #[test]
    fn a_queue_before_a_constant_batch_shows_the_slots() {
        let mut slots = BatchSlots::default();
        feed(&mut slots, 0, &[(3, 4), (5, 4), (5, 4), (6, 4), (6, 4)]);
        assert_eq!(slots.known(), Some(4));
    }

    #[test]
    fn a_moment_of_waiting_shows_nothing() {
        let mut slots = BatchSlots::default();
        feed(&mut slots, 0, &[(1, 3), (0, 4), (2, 3), (1, 5), (0, 5), (1, 5)]);
        assert_eq!(slots.known(), None);
    }

    #[test]
    fn a_larger_batch_takes_the_guess_back() {
        let mut slots = BatchSlots::default();
        feed(&mut slots, 0, &[(3, 4); 6]);
        feed(&mut slots, 300, &[(0, 5)]);
        assert_eq!(slots.known(), None);
    }
}
