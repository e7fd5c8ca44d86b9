//! Label values that clients choose, kept to a bounded number of distinct names.
//!
//! Every distinct label value is a set of series held for the life of the process, so the number of names
//! that strangers can cause has a bound. What comes after it, and what is absurdly long, is `other`.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;

/// Distinct names kept by default, as upstream.
pub const NAMES_MAX: usize = 1000;
/// Longest name kept, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// What a name beyond the bound is called.
pub const OTHER: &str = "other";

/// A set of names that grows up to a bound.
#[derive(Debug)]
pub struct BoundedNames {
    names_max: usize,
    names: RwLock<HashSet<Arc<str>>>,
    other: Arc<str>,
}

impl BoundedNames {
    /// Keeps up to `names_max` distinct names.
    pub fn new(names_max: usize) -> BoundedNames {
        BoundedNames { names_max, names: RwLock::default(), other: Arc::from(OTHER) }
    }

    /// `name` itself while there is room for it, else `other`.
    pub fn admit(&self, name: &str) -> Arc<str> {
        if name.len() > NAME_BYTES_MAX {
            return self.other.clone();
        }
        {
            let names = self.names.read();
            if let Some(known) = names.get(name) {
                return known.clone();
            }
            if names.len() >= self.names_max {
                return self.other.clone();
            }
        }
        let mut names = self.names.write();
        if let Some(known) = names.get(name) {
            return known.clone();
        }
        if names.len() >= self.names_max {
            return self.other.clone();
        }
        let name: Arc<str> = Arc::from(name);
        names.insert(name.clone());
        name
    }
}

impl Default for BoundedNames {
    fn default() -> BoundedNames {
        BoundedNames::new(NAMES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_other_and_known_ones_stay() {
        let names = BoundedNames::new(2);
        assert_eq!(&*names.admit("a"), "a");
        assert_eq!(&*names.admit("b"), "b");
        assert_eq!(&*names.admit("c"), OTHER);
        assert_eq!(&*names.admit("a"), "a");
    }

    #[test]
    fn a_name_longer_than_the_bound_takes_no_room() {
        let names = BoundedNames::new(1);
        assert_eq!(&*names.admit(&"x".repeat(NAME_BYTES_MAX + 1)), OTHER);
        assert_eq!(&*names.admit("a"), "a");
    }
}
