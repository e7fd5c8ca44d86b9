//! What a lookup found.

use super::holders::Held;
use crate::pool::{Slot, SlotSet};

/// Result of a lookup, kept by the caller so that its memory is used again.
#[derive(Debug, Default)]
pub struct Matches {
    /// Leading blocks held, by slot.
    depths: Vec<f32>,
    warmest: Option<Slot>,
    most: u32,
    second: u32,
}

impl Matches {
    /// Leading blocks of the looked-up prompt that the endpoint in `slot` holds.
    pub fn blocks(&self, slot: Slot) -> u32 {
        self.depths.get(slot.index()).copied().unwrap_or(0.0) as u32
    }

    /// The same for all slots in order; at least as many as were asked for.
    pub fn depths(&self) -> &[f32] {
        &self.depths
    }

    /// Who holds most, if anybody holds anything; one of them where several do.
    pub fn warmest(&self) -> Option<Slot> {
        self.warmest
    }

    /// The most blocks that any endpoint holds.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// The most blocks that any endpoint but the warmest holds.
    pub fn second(&self) -> u32 {
        self.second
    }

    /// Starts a lookup within `slots`.
    pub(super) fn reset(&mut self, slots: &SlotSet) {
        if self.most > 0 {
            self.depths.clear();
        }
        self.depths.resize(slots.words().len() * 64, 0.0);
        (self.warmest, self.most, self.second) = (None, 0, 0);
    }

    /// Who is in `held` and not in `deeper` holds `depth` blocks and no more.
    pub(super) fn settle(&mut self, held: Held<'_>, deeper: Held<'_>, within: &SlotSet, depth: u32) {
        let mut settled = 0;
        let mut one = None;
        held.for_each_word(|index, word| {
            let Some(within) = within.words().get(index) else { return };
            let mut bits = word & !deeper.word(index) & within;
            if bits == 0 {
                return;
            }
            one = Some(Slot::new((index * 64) as u16 + bits.trailing_zeros() as u16));
            settled += bits.count_ones();
            let depths = &mut self.depths[index * 64..][..64];
            if bits == u64::MAX {
                depths.fill(depth as f32);
                return;
            }
            while bits != 0 {
                depths[bits.trailing_zeros() as usize] = depth as f32;
                bits &= bits - 1;
            }
        });
        if settled > 0 {
            self.rank(one, depth, settled);
        }
    }

    fn rank(&mut self, slot: Option<Slot>, depth: u32, count: u32) {
        if depth > self.most {
            self.second = if count > 1 { depth } else { self.most };
            (self.most, self.warmest) = (depth, slot);
        } else {
            self.second = self.second.max(depth);
        }
    }
}
