//! Reads an engine's metrics page.

use std::borrow::Cow;
use std::sync::Arc;

use roadstead_core::{AdapterState, EngineState};
use roadstead_wire::metrics::{Labels, Sample, Wanted, scan};

use super::{CacheInfo, Engine, LoraInfo};

/// Most adapter names read from one list; the rest is left out.
const ADAPTERS_MAX: usize = 1024;

const WAITING: usize = 0;
const RUNNING: usize = 1;
const CACHE_INFO: usize = 2;
const LORA_INFO: usize = 3;
/// Slots from here on are the names of KV usage, in the row's order.
const KV_USAGE: usize = 4;

/// An engine's row, made ready for reading many pages.
#[derive(Clone, Debug)]
pub struct PageReader {
    all: Wanted,
    load: Wanted,
    cache_info: Option<CacheInfo>,
    lora_info: Option<LoraInfo>,
}

/// What a page has told so far.
#[derive(Default)]
struct Reading<'p> {
    waiting: Option<f64>,
    running: Option<f64>,
    kv_usage: Option<KvUsage>,
    cache: Option<Labels<'p>>,
    blocks: Option<u32>,
    lora: Option<(f64, Labels<'p>)>,
}

struct KvUsage {
    slot: usize,
    sum: f64,
    series: u32,
}

impl PageReader {
    /// A reader of `engine`'s pages.
    pub fn new(engine: &Engine) -> PageReader {
        let mut names = vec![(engine.waiting, WAITING), (engine.running, RUNNING)];
        names.extend(engine.lora_info.map(|info| (info.series, LORA_INFO)));
        names.extend(engine.kv_usage.iter().enumerate().map(|(at, name)| (*name, KV_USAGE + at)));
        let load = Wanted::new(names.iter().copied());
        names.extend(engine.cache_info.map(|info| (info.series, CACHE_INFO)));
        PageReader {
            all: Wanted::new(names),
            load,
            cache_info: engine.cache_info,
            lora_info: engine.lora_info,
        }
    }

    /// What `page` says. A page without any wanted series gives the empty state.
    pub fn read(&self, page: &[u8]) -> EngineState {
        self.read_wanted(page, &self.all)
    }

    /// What `page` says of the load: as [`PageReader::read`] without the cache's size. That hardly ever
    /// changes, and its dozens of labels are a third of the cost of reading a page of vLLM's.
    pub fn read_load(&self, page: &[u8]) -> EngineState {
        self.read_wanted(page, &self.load)
    }

    fn read_wanted(&self, page: &[u8], wanted: &Wanted) -> EngineState {
        let mut reading = Reading::default();
        scan(page, wanted, |sample| self.take(&mut reading, sample));
        let lora = self.lora_info.zip(reading.lora);
        EngineState {
            waiting: reading.waiting.map(count),
            running: reading.running.map(count),
            kv_usage: reading.kv_usage.map(|usage| (usage.sum / f64::from(usage.series)) as f32),
            block_tokens: self
                .cache_info
                .zip(reading.cache)
                .and_then(|(info, labels)| number(labels, info.block_tokens))
                .filter(|tokens| *tokens > 0),
            kv_blocks: reading.blocks,
            adapters: lora.map(|(info, (_, labels))| adapters(&info, labels)),
        }
    }

    fn take<'p>(&self, reading: &mut Reading<'p>, sample: Sample<'p>) {
        if sample.value.is_nan() {
            return;
        }
        match sample.slot {
            WAITING => *reading.waiting.get_or_insert(0.0) += sample.value,
            RUNNING => *reading.running.get_or_insert(0.0) += sample.value,
            CACHE_INFO => {
                reading.cache.get_or_insert(sample.labels);
                let blocks = self.cache_info.and_then(|info| number(sample.labels, info.blocks));
                if let Some(blocks) = blocks {
                    reading.blocks = Some(reading.blocks.unwrap_or(0).saturating_add(blocks));
                }
            }
            LORA_INFO => {
                if reading.lora.is_none_or(|(newest, _)| sample.value > newest) {
                    reading.lora = Some((sample.value, sample.labels));
                }
            }
            slot => add_kv_usage(&mut reading.kv_usage, slot, sample.value),
        }
    }
}

/// Adds a series of the name at `slot`; a newer name (lower slot) replaces an older one.
fn add_kv_usage(usage: &mut Option<KvUsage>, slot: usize, value: f64) {
    let value = value.clamp(0.0, 1.0);
    match usage {
        Some(usage) if usage.slot == slot => {
            usage.sum += value;
            usage.series += 1;
        }
        Some(usage) if usage.slot < slot => {}
        _ => *usage = Some(KvUsage { slot, sum: value, series: 1 }),
    }
}

/// Counts come as floats; what is out of range goes to the nearest bound.
fn count(value: f64) -> u32 {
    value.round() as u32
}

fn number(labels: Labels<'_>, name: &str) -> Option<u32> {
    labels.get(name)?.parse().ok()
}

fn adapters(info: &LoraInfo, labels: Labels<'_>) -> AdapterState {
    let list = |name| labels.get(name).map_or_else(Vec::new, names);
    AdapterState {
        slots: number(labels, info.slots).unwrap_or(0),
        running: list(info.running),
        waiting: list(info.waiting),
    }
}

fn names(list: Cow<'_, str>) -> Vec<Arc<str>> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.take(ADAPTERS_MAX).map(Arc::from).collect()
}

#[cfg(test)]
mod tests;
