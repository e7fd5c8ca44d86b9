//! A scheduling profile at work: filters in order, then weighted scorers, then a picker.
//!
//! Everything a plugin may look at is in the `Cycle`; everything it may do is to shorten the list of candidates,
//! write scores, or choose. One plugin a file, named as in configuration.

mod candidates;
mod cycle;
pub mod filters;
pub mod pickers;
mod policy;
mod pricing;
mod profile;
pub mod scorers;

pub use candidates::Candidates;
pub use cycle::{Cycle, Scratch};
pub use policy::{DEFAULT_POLICY, Policy};
pub use profile::{Filter, Picker, Profile, Reasons, Scorer};

#[cfg(test)]
mod tests;
