//! A set of pool slots, one bit each.

use super::Slot;

/// A set of slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotSet {
    words: Vec<u64>,
}

impl SlotSet {
    /// The slots below `slots`.
    pub fn below(slots: usize) -> SlotSet {
        let mut set = SlotSet::default();
        (0..slots).for_each(|slot| set.insert(Slot::new(slot as u16)));
        set
    }

    /// Whether `slot` is in it.
    pub fn contains(&self, slot: Slot) -> bool {
        self.words.get(slot.index() / 64).is_some_and(|word| word >> (slot.index() % 64) & 1 == 1)
    }

    /// Adds `slot`.
    pub fn insert(&mut self, slot: Slot) {
        let word = slot.index() / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (slot.index() % 64);
    }

    /// Takes `slot` out.
    pub fn remove(&mut self, slot: Slot) {
        if let Some(word) = self.words.get_mut(slot.index() / 64) {
            *word &= !(1 << (slot.index() % 64));
        }
    }

    /// Adds `slot` or takes it out; true when that changed something.
    pub fn set(&mut self, slot: Slot, present: bool) -> bool {
        let changes = self.contains(slot) != present;
        if changes && present {
            self.insert(slot);
        } else if changes {
            self.remove(slot);
        }
        changes
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Sixty-four slots a word; slots beyond the last word are not in the set.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Makes this a copy of `other`, in the memory that it has.
    pub fn copy_from(&mut self, other: &SlotSet) {
        self.words.clear();
        self.words.extend_from_slice(&other.words);
    }

    /// Keeps what is in one of the `others`.
    pub fn keep(&mut self, others: [Option<&SlotSet>; 2]) {
        for (index, word) in self.words.iter_mut().enumerate() {
            let other =
                |set: Option<&SlotSet>| set.and_then(|set| set.words.get(index)).copied().unwrap_or(0);
            *word &= other(others[0]) | other(others[1]);
        }
    }

    /// The slots in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut bits = *word;
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                (bits != 0).then(|| {
                    bits &= bits - 1;
                    Slot::new((index * 64) as u16 + bit as u16)
                })
            })
        })
    }
}
