//! The slots that may serve a request, before any filter.
//!
//! Mostly the same as for the request before: the list and the column of bars are made anew only when they differ.

use crate::pool::{Slot, SlotSet};

/// Candidates as a set, as a list and as a column.
#[derive(Debug, Default)]
pub struct Candidates {
    set: SlotSet,
    wanted: SlotSet,
    list: Vec<Slot>,
    bars: Vec<f32>,
}

impl Candidates {
    /// Starts from `slots`; `narrow` takes out what cannot serve the request.
    pub fn collect(&mut self, slots: &SlotSet, narrow: impl FnOnce(&mut SlotSet)) {
        self.wanted.copy_from(slots);
        narrow(&mut self.wanted);
        if self.set != self.wanted {
            self.set.copy_from(&self.wanted);
            self.list.clear();
            self.list.extend(self.set.iter());
            self.bars.clear();
            self.bars.resize(self.set.words().len() * 64, f32::INFINITY);
            self.list.iter().for_each(|slot| self.bars[slot.index()] = 0.0);
        }
    }

    /// As a set.
    pub fn set(&self) -> &SlotSet {
        &self.set
    }

    /// As a list in slot order.
    pub fn all(&self) -> &[Slot] {
        &self.list
    }

    /// Zero for a candidate, infinite for any other slot.
    pub fn bars(&self) -> &[f32] {
        &self.bars
    }
}
