//! What predictions need of every endpoint, in dense columns by slot: a decision over thousands of endpoints reads
//! memory in order and touches no endpoint's own record. A row is refreshed whenever its endpoint changes.

use super::{EndpointState, Slot};
use crate::cost::Standing;

/// Rows that are read together; columns grow by as many.
const BLOCK: usize = 64;

/// Under these no row of a block lies: what a request stays under cannot hold it up anywhere in the block.
#[derive(Clone, Copy, Debug)]
pub struct Floors {
    /// See [`Standing::slots_free`].
    pub slots_free: f32,
    /// See [`Standing::kv_free_tokens`].
    pub kv_free_tokens: f32,
    /// See [`Standing::history_free_blocks`].
    pub history_free_blocks: f32,
}

/// A [`Standing`] for each slot, column by column.
#[derive(Debug, Default)]
pub struct Standings {
    /// See [`Standing::step_s`].
    pub step_s: Vec<f32>,
    /// See [`Standing::step_scale`].
    pub step_scale: Vec<f32>,
    /// See [`Standing::ahead_s`].
    pub ahead_s: Vec<f32>,
    /// See [`Standing::prefill_s_per_token`].
    pub prefill_s_per_token: Vec<f32>,
    /// See [`Standing::slots_free`].
    pub slots_free: Vec<f32>,
    /// See [`Standing::turn_share`].
    pub turn_share: Vec<f32>,
    /// See [`Standing::kv_free_tokens`].
    pub kv_free_tokens: Vec<f32>,
    /// See [`Standing::release_share`].
    pub release_share: Vec<f32>,
    /// See [`Standing::history_free_blocks`].
    pub history_free_blocks: Vec<f32>,
    /// See [`Standing::oldest_s`].
    pub oldest_s: Vec<f32>,
    floors: Vec<Floors>,
}

impl Standings {
    /// The row of `slot`.
    pub fn row(&self, slot: Slot) -> Standing {
        let at = slot.index();
        Standing {
            step_s: self.step_s[at],
            step_scale: self.step_scale[at],
            ahead_s: self.ahead_s[at],
            prefill_s_per_token: self.prefill_s_per_token[at],
            slots_free: self.slots_free[at],
            turn_share: self.turn_share[at],
            kv_free_tokens: self.kv_free_tokens[at],
            release_share: self.release_share[at],
            history_free_blocks: self.history_free_blocks[at],
            oldest_s: self.oldest_s[at],
        }
    }

    /// The floors of the block that holds row `at`.
    pub fn floors(&self, at: usize) -> Floors {
        self.floors[at / BLOCK]
    }

    pub(super) fn refresh(&mut self, slot: Slot, state: &EndpointState, prompt_tokens_mean: f64) {
        self.set(slot, Standing::of(state, prompt_tokens_mean));
    }

    /// Nobody is in `slot` any more.
    pub(super) fn clear(&mut self, slot: Slot) {
        self.set(slot, Standing::NOBODY);
    }

    fn set(&mut self, slot: Slot, row: Standing) {
        let at = slot.index();
        if self.step_s.len() <= at {
            self.grow((at + 1).next_multiple_of(BLOCK));
        }
        self.step_s[at] = row.step_s;
        self.step_scale[at] = row.step_scale;
        self.ahead_s[at] = row.ahead_s;
        self.prefill_s_per_token[at] = row.prefill_s_per_token;
        self.turn_share[at] = row.turn_share;
        self.release_share[at] = row.release_share;
        self.oldest_s[at] = row.oldest_s;
        let floors = &mut self.floors[at / BLOCK];
        set_above(&mut self.slots_free, at, row.slots_free, &mut floors.slots_free);
        set_above(&mut self.kv_free_tokens, at, row.kv_free_tokens, &mut floors.kv_free_tokens);
        set_above(
            &mut self.history_free_blocks,
            at,
            row.history_free_blocks,
            &mut floors.history_free_blocks,
        );
    }

    fn grow(&mut self, rows: usize) {
        let Standing { slots_free, kv_free_tokens, history_free_blocks, .. } = Standing::NOBODY;
        let floors = Floors { slots_free, kv_free_tokens, history_free_blocks };
        self.floors.resize(rows / BLOCK, floors);
        self.slots_free.resize(rows, slots_free);
        self.kv_free_tokens.resize(rows, kv_free_tokens);
        self.history_free_blocks.resize(rows, history_free_blocks);
        let columns = [
            &mut self.step_s,
            &mut self.step_scale,
            &mut self.ahead_s,
            &mut self.prefill_s_per_token,
            &mut self.turn_share,
            &mut self.release_share,
            &mut self.oldest_s,
        ];
        columns.into_iter().for_each(|column| column.resize(rows, 0.0));
    }
}

/// Writes a row of a column that has floors. The floor is sought anew only when the row that lay on it rises.
fn set_above(column: &mut [f32], at: usize, value: f32, floor: &mut f32) {
    let before = std::mem::replace(&mut column[at], value);
    if value < *floor {
        *floor = value;
    } else if before <= *floor && value > before {
        let block = at / BLOCK * BLOCK;
        *floor = column[block..][..BLOCK].iter().copied().fold(f32::INFINITY, f32::min);
    }
}
