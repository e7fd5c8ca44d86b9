//! Text as the simulated model sees it: four bytes are one token, whatever they say.
//!
//! Stands between a request's words and the engine, which only knows tokens. Always holds: a prompt that
//! quotes an earlier prompt and its answer begins with the same tokens as the earlier exchange, because every
//! part of a conversation is padded to whole tokens; that is what makes later turns hit the prefix cache.
//! Must not know HTTP.

/// Bytes of text in one token.
pub(crate) const TOKEN_BYTES: usize = 4;
/// Fills a part of a conversation up to a whole token.
const PAD: u8 = b'\n';
/// What asks the model to answer.
const ANSWERING_ROLE: &str = "assistant";

/// Tokens of `text`; a last partial token counts.
pub(crate) fn count(text: &[u8]) -> u32 {
    u32::try_from(text.len().div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX)
}

/// The token ids of `text`: its bytes, four at a time, little-endian; a last partial token is padded.
pub(crate) fn tokenize(text: &[u8]) -> Vec<u32> {
    let mut ids = Vec::with_capacity(text.len().div_ceil(TOKEN_BYTES));
    for part in text.chunks(TOKEN_BYTES) {
        let mut bytes = [PAD; TOKEN_BYTES];
        bytes[..part.len()].copy_from_slice(part);
        ids.push(u32::from_le_bytes(bytes));
    }
    ids
}

/// The text whose token ids are `ids`.
pub(crate) fn detokenize(ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
}

/// A conversation being put into the one chat template: `<|role|>` newline content, each padded to whole
/// tokens, and at the end the role that answers.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    text: Vec<u8>,
}

impl Conversation {
    /// An empty conversation.
    pub(crate) fn new() -> Conversation {
        Conversation::default()
    }

    /// Opens a message of `role`.
    pub(crate) fn role(&mut self, role: &str) {
        self.pad();
        self.text.extend_from_slice(b"<|");
        self.text.extend_from_slice(role.as_bytes());
        self.text.extend_from_slice(b"|>\n");
        self.pad();
    }

    /// Adds to the content of the open message.
    pub(crate) fn content(&mut self, content: &str) {
        self.text.extend_from_slice(content.as_bytes());
    }

    /// The prompt: everything so far, and the role that answers.
    pub(crate) fn into_prompt(mut self) -> Vec<u8> {
        self.role(ANSWERING_ROLE);
        self.text
    }

    fn pad(&mut self) {
        let whole = self.text.len().next_multiple_of(TOKEN_BYTES);
        self.text.resize(whole, PAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt_of(turns: &[(&str, &str)]) -> Vec<u8> {
        let mut conversation = Conversation::new();
        for (role, content) in turns {
            conversation.role(role);
            conversation.content(content);
        }
        conversation.into_prompt()
    }

    #[test]
    fn a_partial_token_counts() {
        assert_eq!([0, 1, 4, 5].map(|bytes| count(&vec![b'x'; bytes])), [0, 1, 1, 2]);
        assert_eq!(tokenize(b"abcde").len(), 2);
    }

    #[test]
    fn token_ids_become_the_same_text_again() {
        assert_eq!(detokenize(&tokenize(b"some words..")), b"some words..");
    }

    #[test]
    fn the_next_turn_begins_with_the_tokens_of_the_turn_and_its_answer() {
        let first = prompt_of(&[("system", "be brief"), ("user", "what is the time?")]);
        let answer = "abcdefgh";
        let next = prompt_of(&[
            ("system", "be brief"),
            ("user", "what is the time?"),
            ("assistant", answer),
            ("user", "and now?"),
        ]);
        let mut exchange = first;
        exchange.extend_from_slice(answer.as_bytes());
        assert_eq!(exchange.len() % TOKEN_BYTES, 0);
        assert!(next.starts_with(&exchange));
    }
}
