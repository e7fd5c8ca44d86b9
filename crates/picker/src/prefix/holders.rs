//! The endpoints that hold one block: a few inline, many as a bit set.

/// Slots kept inline before a bit set is made.
const FEW_MAX: usize = 3;
const NONE: u16 = u16::MAX;

/// A set of pool slots.
#[derive(Debug)]
pub(super) enum Holders {
    Few([u16; FEW_MAX]),
    Many(Vec<u64>),
}

impl Holders {
    pub(super) fn one(slot: u16) -> Holders {
        let mut few = [NONE; FEW_MAX];
        few[0] = slot;
        Holders::Few(few)
    }

    pub(super) fn insert(&mut self, slot: u16) {
        match self {
            Holders::Few(few) => {
                if few.contains(&slot) {
                    return;
                }
                if let Some(place) = few.iter_mut().find(|held| **held == NONE) {
                    *place = slot;
                    return;
                }
                let mut words = Vec::new();
                for held in *few {
                    set(&mut words, held);
                }
                set(&mut words, slot);
                *self = Holders::Many(words);
            }
            Holders::Many(words) => set(words, slot),
        }
    }

    /// Takes `slot` out; true when nobody is left.
    pub(super) fn remove(&mut self, slot: u16) -> bool {
        match self {
            Holders::Few(few) => {
                for held in few.iter_mut().filter(|held| **held == slot) {
                    *held = NONE;
                }
                few.iter().all(|held| *held == NONE)
            }
            Holders::Many(words) => {
                if let Some(word) = words.get_mut(usize::from(slot) / 64) {
                    *word &= !(1 << (slot % 64));
                }
                words.iter().all(|word| *word == 0)
            }
        }
    }

    /// Adds every holder to `words`.
    pub(super) fn write_to(&self, words: &mut Vec<u64>) {
        match self {
            Holders::Few(few) => few.iter().filter(|held| **held != NONE).for_each(|held| set(words, *held)),
            Holders::Many(many) => {
                if words.len() < many.len() {
                    words.resize(many.len(), 0);
                }
                for (word, held) in words.iter_mut().zip(many.iter()) {
                    *word |= held;
                }
            }
        }
    }
}

fn set(words: &mut Vec<u64>, slot: u16) {
    let index = usize::from(slot) / 64;
    if words.len() <= index {
        words.resize(index + 1, 0);
    }
    words[index] |= 1 << (slot % 64);
}
