//! Which endpoints serve which model, for the whole pool: one lookup for a request, however many endpoints there are.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Models, Slot, SlotSet};

/// Models and who serves them.
#[derive(Debug, Default)]
pub struct Catalogue {
    served: HashMap<Arc<str>, SlotSet>,
    /// How many endpoints list a name as an adapter.
    adapters: HashMap<Arc<str>, usize>,
    /// Endpoints whose list was not read: they are taken to serve whatever is asked.
    unlisted: SlotSet,
}

impl Catalogue {
    /// Takes in what `slot` serves.
    pub(super) fn add(&mut self, slot: Slot, models: &Models) {
        if !models.known() {
            self.unlisted.insert(slot);
        }
        for name in models.base_names().chain(models.adapter_names()) {
            self.served.entry(name.clone()).or_default().insert(slot);
        }
        for name in models.adapter_names() {
            *self.adapters.entry(name.clone()).or_default() += 1;
        }
    }

    /// Takes out what `slot` serves, as it was added.
    pub(super) fn remove(&mut self, slot: Slot, models: &Models) {
        self.unlisted.remove(slot);
        for name in models.base_names().chain(models.adapter_names()) {
            if let Some(slots) = self.served.get_mut(name) {
                slots.remove(slot);
                if slots.is_empty() {
                    self.served.remove(name);
                }
            }
        }
        for name in models.adapter_names() {
            if let Some(count) = self.adapters.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.adapters.remove(name);
                }
            }
        }
    }

    /// Whether some endpoint lists `model` as an adapter.
    pub fn is_adapter(&self, model: &str) -> bool {
        self.adapters.contains_key(model)
    }

    /// Keeps in `slots` those that serve `model`.
    pub fn keep_serving(&self, model: &str, slots: &mut SlotSet) {
        slots.keep([self.served.get(model), Some(&self.unlisted)]);
    }
}
