//! The endpoints that hold one block: a few inline, many as a bit set.

/// Slots kept inline before a bit set is made.
const FEW_MAX: usize = 3;
const FREE: u16 = u16::MAX;

/// A set of pool slots; never empty while it is in the index.
#[derive(Debug)]
pub(super) enum Holders {
    Few([u16; FEW_MAX]),
    Many(Box<Many>),
}

/// A bit set that knows its size.
#[derive(Debug, Default)]
pub(super) struct Many {
    count: u32,
    words: Vec<u64>,
}

/// A view of holders.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held<'a> {
    Few([u16; FEW_MAX]),
    Many(&'a Many),
}

impl Holders {
    pub(super) fn one(slot: u16) -> Holders {
        Holders::Few([slot, FREE, FREE])
    }

    pub(super) fn insert(&mut self, slot: u16) {
        match self {
            Holders::Few(few) => {
                if few.contains(&slot) {
                    return;
                }
                if let Some(place) = few.iter_mut().find(|held| **held == FREE) {
                    *place = slot;
                    return;
                }
                let mut many = Many::default();
                few.iter().for_each(|held| many.insert(*held));
                many.insert(slot);
                *self = Holders::Many(Box::new(many));
            }
            Holders::Many(many) => many.insert(slot),
        }
    }

    /// Takes `slot` out; true when nobody is left.
    pub(super) fn remove(&mut self, slot: u16) -> bool {
        match self {
            Holders::Few(few) => {
                for held in few.iter_mut().filter(|held| **held == slot) {
                    *held = FREE;
                }
                few.iter().all(|held| *held == FREE)
            }
            Holders::Many(many) => {
                many.remove(slot);
                many.count == 0
            }
        }
    }

    pub(super) fn held(&self) -> Held<'_> {
        match self {
            Holders::Few(few) => Held::Few(*few),
            Holders::Many(many) => Held::Many(many),
        }
    }
}

impl Many {
    fn insert(&mut self, slot: u16) {
        let index = usize::from(slot) / 64;
        if self.words.len() <= index {
            self.words.resize(index + 1, 0);
        }
        let bit = 1 << (slot % 64);
        self.count += u32::from(self.words[index] & bit == 0);
        self.words[index] |= bit;
    }

    fn remove(&mut self, slot: u16) {
        if let Some(word) = self.words.get_mut(usize::from(slot) / 64) {
            let bit = 1 << (slot % 64);
            self.count -= u32::from(*word & bit != 0);
            *word &= !bit;
        }
    }
}

impl Held<'_> {
    /// Nobody.
    pub(super) const NONE: Held<'static> = Held::Few([FREE; FEW_MAX]);

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        match self {
            Held::Few(few) => few.iter().filter(|held| **held != FREE).count() as u32,
            Held::Many(many) => many.count,
        }
    }

    /// The slots from 64 × `index` on, one bit each.
    pub(super) fn word(&self, index: usize) -> u64 {
        match self {
            Held::Few(few) => few.iter().filter(|held| usize::from(**held) / 64 == index).fold(0, set),
            Held::Many(many) => many.words.get(index).copied().unwrap_or(0),
        }
    }

    /// Calls `visit` with every index and word that may have a bit set; a word once.
    pub(super) fn for_each_word(&self, mut visit: impl FnMut(usize, u64)) {
        match self {
            Held::Few(few) => {
                for (at, held) in few.iter().enumerate().filter(|(_, held)| **held != FREE) {
                    let index = usize::from(*held) / 64;
                    if !few[..at].iter().any(|other| *other != FREE && usize::from(*other) / 64 == index) {
                        visit(index, self.word(index));
                    }
                }
            }
            Held::Many(many) => many.words.iter().enumerate().for_each(|(index, word)| visit(index, *word)),
        }
    }
}

fn set(word: u64, slot: &u16) -> u64 {
    word | 1 << (slot % 64)
}
