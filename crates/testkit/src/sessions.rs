//! Multi-turn conversations: the next turn comes a think time after the answer and quotes everything before it.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use roadstead_core::Time;
use roadstead_engine::output_token;

use crate::fleet::{Arrival, Record, Workload};

/// A workload of conversations.
#[derive(Clone, Debug)]
pub struct SessionsConfig {
    /// Conversations at any time; a finished one is replaced.
    pub sessions: u32,
    /// Tokens of a system prompt that all conversations share.
    pub system_tokens: u32,
    /// Turns of a conversation.
    pub turns: u32,
    /// Tokens of the first message.
    pub first_tokens: u32,
    /// Tokens of each later message.
    pub turn_tokens: u32,
    /// Tokens of each answer.
    pub output_tokens: u32,
    /// Mean think time; exponential.
    pub think: Duration,
    /// The conversations begin within this time.
    pub ramp: Duration,
    /// The first conversations are met at a random turn, with as much history as belongs to it.
    pub under_way: bool,
    /// No turn begins after this.
    pub end: Time,
    /// Seed.
    pub seed: u64,
}

struct Session {
    history: Vec<u8>,
    turn: u32,
    output_seed: u64,
}

/// The running conversations.
pub struct Sessions {
    config: SessionsConfig,
    rng: Rng,
    system: Vec<u8>,
    sessions: Vec<Session>,
}

impl Sessions {
    /// Conversations that have not begun.
    pub fn new(config: SessionsConfig) -> Sessions {
        let rng = Rng::with_seed(config.seed);
        let mut sessions = Sessions { rng, config, system: Vec::new(), sessions: Vec::new() };
        sessions.system = sessions.text(sessions.config.system_tokens);
        sessions
    }

    fn text(&mut self, tokens: u32) -> Vec<u8> {
        (0..tokens * 4).map(|_| self.rng.lowercase() as u8).collect()
    }

    fn think(&mut self) -> Duration {
        self.config.think.mul_f64(-(1.0 - self.rng.f64()).ln())
    }

    /// Tokens around the configured number: half to one and a half of it.
    fn about(&mut self, tokens: u32) -> u32 {
        self.rng.u32(tokens / 2..=tokens + tokens / 2).max(1)
    }

    fn first(&mut self, client: u32) -> Arrival {
        let SessionsConfig { turns, first_tokens, turn_tokens, output_tokens, ramp, under_way, .. } =
            self.config;
        let turn = if under_way { self.rng.u32(0..turns) } else { 0 };
        let tokens = self.about(first_tokens) + turn * (turn_tokens + output_tokens);
        let mut history = self.system.clone();
        history.extend(self.text(tokens));
        self.sessions.push(Session { history, turn, output_seed: 0 });
        let at = Time::ZERO + ramp.mul_f64(self.rng.f64());
        self.arrival(client, at)
    }

    fn arrival(&mut self, client: u32, at: Time) -> Arrival {
        let output_tokens = self.about(self.config.output_tokens);
        let output_seed = self.rng.u64(..);
        let session = &mut self.sessions[client as usize];
        session.output_seed = output_seed;
        Arrival {
            at,
            client,
            prompt: Arc::from(session.history.as_slice()),
            output_tokens,
            output_seed,
            outside: None,
            adapter: None,
        }
    }
}

impl Workload for Sessions {
    fn start(&mut self) -> Vec<Arrival> {
        (0..self.config.sessions).map(|client| self.first(client)).collect()
    }

    fn answered(&mut self, record: &Record) -> Option<Arrival> {
        let at = record.finished + self.think();
        if at > self.config.end {
            return None;
        }
        let client = record.client;
        let turn = self.sessions[client as usize].turn + 1;
        let renewed = turn >= self.config.turns;
        let message_tokens =
            if renewed { self.about(self.config.first_tokens) } else { self.about(self.config.turn_tokens) };
        let message = self.text(message_tokens);
        let session = &mut self.sessions[client as usize];
        session.turn = if renewed { 0 } else { turn };
        if renewed {
            session.history.clone_from(&self.system);
        } else {
            let answer = (0..record.output_tokens).flat_map(|token| output_token(session.output_seed, token));
            session.history.extend(answer);
        }
        session.history.extend(message);
        Some(self.arrival(client, at))
    }
}
