//! Which models and adapters an endpoint serves.

use std::collections::HashSet;
use std::sync::Arc;

use roadstead_core::{ModelCard, Time};

use super::Reported;
use crate::limits::MODELS_MAX;

/// Where an adapter is on an endpoint, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterPlace {
    /// On the accelerator.
    Resident,
    /// Not there, but a slot is free.
    FreeSlot,
    /// Every slot is taken by a running adapter; it can be loaded once one drains.
    Loadable,
}

/// The served models of one endpoint. Unknown until its list was read; then it serves whatever is asked.
#[derive(Clone, Debug, Default)]
pub struct Models {
    known: bool,
    base: HashSet<Arc<str>>,
    adapters: HashSet<Arc<str>>,
    /// Adapters in order of our own last use, the latest last: what an engine keeps resident between requests
    /// and does not report.
    recent: Vec<(Arc<str>, Time)>,
}

impl Models {
    /// Takes over the endpoint's list.
    pub fn replace(&mut self, cards: Vec<ModelCard>) {
        self.known = true;
        self.base.clear();
        self.adapters.clear();
        for card in cards.into_iter().take(MODELS_MAX) {
            let kind = if card.parent.is_some() { &mut self.adapters } else { &mut self.base };
            kind.insert(card.id);
        }
        let adapters = &self.adapters;
        self.recent.retain(|(adapter, _)| adapters.contains(adapter));
    }

    /// Whether the list was read.
    pub fn known(&self) -> bool {
        self.known
    }

    /// Whether a request for `model` can be served.
    pub fn serves(&self, model: &Arc<str>) -> bool {
        !self.known || self.base.contains(model) || self.adapters.contains(model)
    }

    /// Whether `model` is an adapter here.
    pub fn is_adapter(&self, model: &Arc<str>) -> bool {
        self.adapters.contains(model)
    }

    /// A request for `adapter` was sent to the endpoint, which has `slots` adapter slots.
    pub fn used(&mut self, now: Time, adapter: &Arc<str>, slots: usize) {
        self.recent.retain(|(name, _)| name != adapter);
        self.recent.push((adapter.clone(), now));
        let surplus = self.recent.len().saturating_sub(slots.max(1));
        self.recent.drain(..surplus);
    }

    /// The engine started anew: nothing is resident.
    pub fn forget_residents(&mut self) {
        self.recent.clear();
    }

    /// Where `adapter` is. Engines report only adapters with requests in flight, so the ones that we used last
    /// count as resident too.
    pub fn place(&self, adapter: &Arc<str>, reported: &Reported) -> AdapterPlace {
        if reported.runs_adapter(adapter) || self.recent.iter().any(|(name, _)| name == adapter) {
            return AdapterPlace::Resident;
        }
        let Some(fact) = &reported.adapters else { return AdapterPlace::FreeSlot };
        let running = &fact.value.running;
        let idle = self.recent.iter().filter(|(name, _)| !running.contains(name)).count();
        if running.len() + idle < fact.value.slots as usize {
            AdapterPlace::FreeSlot
        } else {
            AdapterPlace::Loadable
        }
    }

    /// Names that are no adapters.
    pub fn base_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.base.iter()
    }

    /// Names of adapters.
    pub fn adapter_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.adapters.iter()
    }

    /// All names, bases first, each kind sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.base.iter().cloned().collect();
        names.sort_unstable();
        let mut adapters: Vec<_> = self.adapters.iter().cloned().collect();
        adapters.sort_unstable();
        names.extend(adapters);
        names
    }

    /// The adapters that count as resident by our own account, the latest last.
    pub fn residents(&self) -> impl Iterator<Item = &Arc<str>> {
        self.recent.iter().map(|(name, _)| name)
    }
}
