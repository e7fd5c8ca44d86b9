//! The endpoints of one pool: what they said, what we have in flight on them, how fast and how well they are.
//!
//! Every endpoint has a slot for as long as anything of it is in flight; a slot is used again only after that.

pub mod account;
mod batch_slots;
mod endpoint_state;
mod foreign;
mod health;
mod models;
mod reported;
mod view;

use std::collections::HashMap;

use roadstead_core::{Endpoint, EndpointId};

pub use account::{Account, Booking};
pub use batch_slots::BatchSlots;
pub use endpoint_state::EndpointState;
pub use foreign::{Foreign, ForeignLoad};
pub use health::{Ejection, Health, Life};
pub use models::{AdapterPlace, Models};
pub use reported::{Aged, Reported};
pub use view::{AgedView, EndpointView, PoolView};

use crate::limits::ENDPOINTS_MAX;

/// Place of an endpoint in its pool: dense, so that arrays can be indexed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// As an array index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// As a number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The slot with this number.
    pub fn new(number: u16) -> Slot {
        Slot(number)
    }
}

/// The endpoints of one pool.
#[derive(Debug, Default)]
pub struct Pool {
    slots: Vec<Option<EndpointState>>,
    by_id: HashMap<EndpointId, Slot>,
    free: Vec<Slot>,
}

impl Pool {
    /// Adds an endpoint. `None` when it is there already or the pool is full.
    pub fn join(&mut self, endpoint: Endpoint) -> Option<Slot> {
        if self.by_id.contains_key(&endpoint.id) || self.by_id.len() >= ENDPOINTS_MAX {
            return None;
        }
        let id = endpoint.id;
        let state = Some(EndpointState::new(endpoint));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot.index()] = state;
                slot
            }
            None => {
                let slot = Slot(u16::try_from(self.slots.len()).ok()?);
                self.slots.push(state);
                slot
            }
        };
        self.by_id.insert(id, slot);
        Some(slot)
    }

    /// Removes the endpoint in `slot`, which must have nothing in flight.
    pub fn remove(&mut self, slot: Slot) {
        if let Some(state) = self.slots[slot.index()].take() {
            debug_assert!(state.account.is_empty(), "removed with work in flight");
            self.by_id.remove(&state.endpoint.id);
            self.free.push(slot);
        }
    }

    /// The slot of an endpoint.
    pub fn slot(&self, id: EndpointId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// The endpoint in `slot`.
    pub fn get(&self, slot: Slot) -> Option<&EndpointState> {
        self.slots.get(slot.index()).and_then(Option::as_ref)
    }

    /// The endpoint in `slot`, to change.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut EndpointState> {
        self.slots.get_mut(slot.index()).and_then(Option::as_mut)
    }

    /// All endpoints in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &EndpointState)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(index, state)| state.as_ref().map(|state| (Slot(index as u16), state)))
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// One more than the highest slot in use so far: the size of arrays that are indexed by slot.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }
}

impl std::ops::Index<Slot> for Pool {
    type Output = EndpointState;

    fn index(&self, slot: Slot) -> &EndpointState {
        self.slots[slot.index()].as_ref().expect("a candidate's slot is in use")
    }
}
