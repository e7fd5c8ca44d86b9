//! What a request will cost, and what it did cost.

/// Expected cost of a request. Units are those of the role that does the work: tokens for text models.
/// A field that does not apply to a model is zero or absent; nothing downstream assumes text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Prompt size in tokens, estimated before tokenisation (4 bytes of text a token).
    pub prompt_tokens: u32,
    /// The most output tokens that the client allows for one sequence, where it said.
    pub output_tokens_max: Option<u32>,
    /// Sequences generated from the one prompt (`n`); at least 1 for models that generate.
    pub sequences: u32,
}

/// What a finished request used, as far as the answer told or we counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens as the engine counted them.
    pub prompt_tokens: Option<u32>,
    /// Of those, tokens served from the prefix cache.
    pub cached_tokens: Option<u32>,
    /// Tokens generated.
    pub output_tokens: Option<u32>,
}
