//! The gateway's own account of what it has in flight on an endpoint: exact and without age.
//!
//! A booking is given once per dispatch and returned once, whatever happens to the request.

use roadstead_core::{Time, Work};

use crate::limits::SEQUENCES_MAX;

/// What is in flight on one endpoint by our own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Requests.
    pub requests: u32,
    /// Sequences: a request with `n` answers counts `n`.
    pub sequences: u32,
    /// Of those, sequences whose prompt is computed.
    pub decoding: u32,
    /// Prompt tokens that were not expected in the cache and are not computed yet.
    pub prefill_tokens: u64,
    /// Tokens of context held: prompts, and output so far.
    pub context_tokens: u64,
}

/// One request's share of an account.
#[derive(Clone, Debug)]
pub struct Booking {
    /// When it was given.
    pub at: Time,
    /// Prompt tokens that must be computed.
    pub uncached_tokens: u32,
    /// Sequences.
    pub sequences: u32,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Output tokens so far, all sequences together.
    pub output_tokens: u32,
    /// Whether the prompt is computed.
    pub decoding: bool,
}

impl Booking {
    /// A booking for `work` of which `hit_tokens` are expected in the cache. A request with a prompt is at least
    /// one sequence in the engine; one without work, such as a question about models, is none.
    pub fn new(at: Time, work: &Work, hit_tokens: u32) -> Booking {
        let least = u32::from(work.prompt_tokens > 0);
        Booking {
            at,
            uncached_tokens: work.prompt_tokens.saturating_sub(hit_tokens),
            sequences: work.sequences.max(least).min(SEQUENCES_MAX),
            prompt_tokens: work.prompt_tokens,
            output_tokens: 0,
            decoding: false,
        }
    }

    fn context_tokens(&self) -> u64 {
        u64::from(self.prompt_tokens) + u64::from(self.output_tokens)
    }
}

impl Account {
    /// Gives `booking`.
    pub fn give(&mut self, booking: &Booking) {
        self.requests += 1;
        self.sequences += booking.sequences;
        self.prefill_tokens += u64::from(booking.uncached_tokens);
        self.context_tokens += booking.context_tokens();
    }

    /// The prompt is computed.
    pub fn prefilled(&mut self, booking: &mut Booking) {
        if !booking.decoding {
            booking.decoding = true;
            self.prefill_tokens -= u64::from(booking.uncached_tokens);
            self.decoding += booking.sequences;
        }
    }

    /// The request has `output_tokens` tokens by now. Never goes back.
    pub fn grown(&mut self, booking: &mut Booking, output_tokens: u32) {
        let more = output_tokens.saturating_sub(booking.output_tokens);
        booking.output_tokens += more;
        self.context_tokens += u64::from(more);
    }

    /// Takes `booking` back.
    pub fn take(&mut self, booking: &Booking) {
        debug_assert!(self.requests > 0 && self.context_tokens >= booking.context_tokens(), "never given");
        self.requests -= 1;
        self.sequences -= booking.sequences;
        self.context_tokens -= booking.context_tokens();
        if booking.decoding {
            self.decoding -= booking.sequences;
        } else {
            self.prefill_tokens -= u64::from(booking.uncached_tokens);
        }
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        *self == Account::default()
    }
}
