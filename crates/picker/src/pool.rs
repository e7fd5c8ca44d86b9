//! The endpoints of one pool: what they said, what we have in flight on them, how fast and how well they are.
//!
//! Every endpoint has a slot for as long as anything of it is in flight; a slot is used again only after that.

pub mod account;
mod batch_slots;
mod catalogue;
mod endpoint_state;
mod foreign;
mod health;
mod models;
mod reported;
mod slot_set;
mod standings;
mod view;

use std::collections::HashMap;

use roadstead_core::{Endpoint, EndpointId, ModelCard, Time};

pub use account::{Account, Booking};
pub use batch_slots::BatchSlots;
pub use catalogue::Catalogue;
pub use endpoint_state::EndpointState;
pub use foreign::{Foreign, ForeignLoad};
pub use health::{Ejection, Health, Life};
pub use models::{AdapterPlace, Models};
pub use reported::{Aged, Reported};
pub use slot_set::SlotSet;
pub use standings::Standings;
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

/// The endpoints of one pool, and what is kept beside them so that a decision need not walk them all.
#[derive(Debug, Default)]
pub struct Pool {
    slots: Vec<Option<EndpointState>>,
    by_id: HashMap<EndpointId, Slot>,
    free: Vec<Slot>,
    standings: Standings,
    catalogue: Catalogue,
    /// In the pool and not leaving.
    present: SlotSet,
    /// Gets work, as far as life and orders go; an ejection may still bar it.
    open: SlotSet,
    /// Ejected, or with something to move away.
    watched: SlotSet,
    watched_count: usize,
    /// Counts the changes of who gets work and of who serves what.
    changes: u64,
    /// When the next block of each history would be forgotten, summed over endpoints that have one.
    oldest_sum_ns: u128,
    oldest_count: u32,
    prompt_tokens_mean: f64,
}

impl Pool {
    /// Adds an endpoint. `None` when it is there already or the pool is full.
    pub fn join(&mut self, endpoint: Endpoint) -> Option<Slot> {
        if self.by_id.contains_key(&endpoint.id) || self.by_id.len() >= ENDPOINTS_MAX {
            return None;
        }
        let id = endpoint.id;
        let state = EndpointState::new(endpoint);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = Slot(u16::try_from(self.slots.len()).ok()?);
                self.slots.push(None);
                slot
            }
        };
        self.catalogue.add(slot, &state.models);
        self.slots[slot.index()] = Some(state);
        self.by_id.insert(id, slot);
        self.refresh(slot);
        Some(slot)
    }

    /// Removes the endpoint in `slot`, which must have nothing in flight.
    pub fn remove(&mut self, slot: Slot) {
        let Some(state) = self.slots[slot.index()].take() else { return };
        debug_assert!(state.account.is_empty(), "removed with work in flight");
        self.by_id.remove(&state.endpoint.id);
        self.free.push(slot);
        self.catalogue.remove(slot, &state.models);
        self.count_oldest(state.history.oldest, None);
        self.present.remove(slot);
        self.open.remove(slot);
        self.watch(slot, false);
        self.standings.clear(slot);
        self.changes += 1;
    }

    /// Changes the endpoint in `slot`, if there is one, and everything that is kept beside it.
    pub fn update<R>(&mut self, slot: Slot, change: impl FnOnce(&mut EndpointState) -> R) -> Option<R> {
        let state = self.slots.get_mut(slot.index())?.as_mut()?;
        let oldest = state.history.oldest;
        let result = change(state);
        let newer = state.history.oldest;
        if oldest != newer {
            self.count_oldest(oldest, newer);
        }
        self.refresh(slot);
        Some(result)
    }

    /// Replaces the list of what the endpoint in `slot` serves.
    pub fn list(&mut self, slot: Slot, models: Vec<ModelCard>) {
        let Some(state) = self.slots.get_mut(slot.index()).and_then(Option::as_mut) else { return };
        self.catalogue.remove(slot, &state.models);
        state.models.replace(models);
        self.catalogue.add(slot, &state.models);
        self.changes += 1;
    }

    /// The slot of an endpoint.
    pub fn slot(&self, id: EndpointId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// The endpoint in `slot`.
    pub fn get(&self, slot: Slot) -> Option<&EndpointState> {
        self.slots.get(slot.index()).and_then(Option::as_ref)
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

    /// What predictions need, by slot. Rows of free slots mean nothing.
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Who serves what.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Who stays in the pool.
    pub fn present(&self) -> &SlotSet {
        &self.present
    }

    /// Who gets work unless ejected.
    pub fn open(&self) -> &SlotSet {
        &self.open
    }

    /// Who is ejected or has something to move away.
    pub fn watched(&self) -> impl Iterator<Item = (Slot, &EndpointState)> {
        let watched = (self.watched_count > 0).then_some(&self.watched);
        let slots = watched.into_iter().flat_map(SlotSet::iter);
        slots.filter_map(|slot| self.get(slot).map(|state| (slot, state)))
    }

    /// Grows whenever who gets work or who serves what changes.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Mean age at `now` of the blocks that the endpoints would forget next, in seconds.
    pub fn oldest_age_mean_s(&self, now: Time) -> f64 {
        let now_ns = u128::from(self.oldest_count) * u128::from(now.as_nanos());
        let sum_ns = now_ns.saturating_sub(self.oldest_sum_ns);
        sum_ns as f64 / 1e9 / self.len().max(1) as f64
    }

    /// Tells how many tokens prompts have, for the load of others.
    pub fn set_prompt_tokens_mean(&mut self, tokens: f64) {
        self.prompt_tokens_mean = tokens;
    }

    fn count_oldest(&mut self, before: Option<Time>, after: Option<Time>) {
        if let Some(before) = before {
            self.oldest_sum_ns -= u128::from(before.as_nanos());
            self.oldest_count -= 1;
        }
        if let Some(after) = after {
            self.oldest_sum_ns += u128::from(after.as_nanos());
            self.oldest_count += 1;
        }
    }

    fn refresh(&mut self, slot: Slot) {
        let Some(state) = self.slots[slot.index()].as_ref() else { return };
        let health = &state.health;
        self.standings.refresh(slot, state, self.prompt_tokens_mean);
        let watched = health.ejection.is_some() || health.move_at.is_some();
        let changed = self.present.set(slot, !health.leaving) | self.open.set(slot, health.is_open());
        let changed = self.watch(slot, watched) | changed;
        self.changes += u64::from(changed);
    }

    fn watch(&mut self, slot: Slot, watched: bool) -> bool {
        let changed = self.watched.set(slot, watched);
        if changed {
            self.watched_count = if watched { self.watched_count + 1 } else { self.watched_count - 1 };
        }
        changed
    }
}

impl std::ops::Index<Slot> for Pool {
    type Output = EndpointState;

    fn index(&self, slot: Slot) -> &EndpointState {
        self.slots[slot.index()].as_ref().expect("a candidate's slot is in use")
    }
}
