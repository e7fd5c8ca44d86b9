//! What predictions need of every endpoint, in dense columns by slot: a decision over thousands of endpoints reads
//! memory in order and touches no endpoint's own record. A row is refreshed whenever its endpoint changes.

use super::{EndpointState, Slot};
use crate::cost::Standing;

/// Columns grow by this many rows, so that they can be read in whole blocks.
const ROWS_STEP: usize = 64;

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
}

impl Standings {
    /// Rows; those beyond the pool's slots mean nothing.
    pub fn len(&self) -> usize {
        self.step_s.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.step_s.is_empty()
    }

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

    pub(super) fn refresh(&mut self, slot: Slot, state: &EndpointState, prompt_tokens_mean: f64) {
        let at = slot.index();
        if self.len() <= at {
            self.resize((at + 1).next_multiple_of(ROWS_STEP));
        }
        let row = Standing::of(state, prompt_tokens_mean);
        self.step_s[at] = row.step_s;
        self.step_scale[at] = row.step_scale;
        self.ahead_s[at] = row.ahead_s;
        self.prefill_s_per_token[at] = row.prefill_s_per_token;
        self.slots_free[at] = row.slots_free;
        self.turn_share[at] = row.turn_share;
        self.kv_free_tokens[at] = row.kv_free_tokens;
        self.release_share[at] = row.release_share;
        self.history_free_blocks[at] = row.history_free_blocks;
        self.oldest_s[at] = row.oldest_s;
    }

    fn resize(&mut self, rows: usize) {
        let columns = [
            &mut self.step_s,
            &mut self.step_scale,
            &mut self.ahead_s,
            &mut self.prefill_s_per_token,
            &mut self.slots_free,
            &mut self.turn_share,
            &mut self.kv_free_tokens,
            &mut self.release_share,
            &mut self.history_free_blocks,
            &mut self.oldest_s,
        ];
        columns.into_iter().for_each(|column| column.resize(rows, 0.0));
    }
}
