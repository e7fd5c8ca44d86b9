//! Text as tokens and block hashes: four bytes are one token, sixteen tokens one block.
//!
//! A block's hash chains its parent's hash with its 64 bytes; the salt (adapter, cache salt) starts the chain, so equal
//! text under another adapter never hits. Generated text is made here too, so that what a driver sends to the client and
//! what the engine hashed are the same bytes. The chat template is the driver's: it passes the rendered bytes.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Tokens of one KV block.
pub const BLOCK_TOKENS: u32 = 16;
/// Bytes of one token.
pub const TOKEN_BYTES: usize = 4;
const BLOCK_BYTES: usize = BLOCK_TOKENS as usize * TOKEN_BYTES;

/// A prompt as the engine sees it: its length, the hashes of its full blocks, and the bytes after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub(crate) tokens: u32,
    pub(crate) salt: u64,
    pub(crate) hashes: Vec<u64>,
    /// The last, partly filled block: `tokens % BLOCK_TOKENS` tokens.
    pub(crate) tail: [u8; BLOCK_BYTES],
}

impl Prompt {
    /// Hashes the prompt. Fewer than four bytes at the end count as one token (so a driver that wants the answer's blocks
    /// to be hit by the next turn pads its template to four bytes); no bytes at all count as one token too.
    pub fn from_bytes(bytes: &[u8], salt: u64) -> Prompt {
        let tokens = bytes.len().div_ceil(TOKEN_BYTES).max(1);
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        let mut hashes = Vec::with_capacity(blocks.len() + 1);
        let mut parent = salt;
        for block in blocks {
            parent = block_hash(parent, block);
            hashes.push(parent);
        }
        let mut tail = [0; BLOCK_BYTES];
        tail[..rest.len()].copy_from_slice(rest);
        if rest.len() + TOKEN_BYTES > BLOCK_BYTES {
            hashes.push(block_hash(parent, &tail));
            tail = [0; BLOCK_BYTES];
        }
        Prompt { tokens: u32::try_from(tokens).unwrap_or(u32::MAX), salt, hashes, tail }
    }

    /// A prompt given by its length and the chained hashes of its full blocks, for drivers that have no text.
    /// Surplus hashes are dropped and missing ones are made up from the last one known.
    pub fn from_hashes(mut hashes: Vec<u64>, tokens: u32, salt: u64) -> Prompt {
        let tokens = tokens.max(1);
        let full = (tokens / BLOCK_TOKENS) as usize;
        hashes.truncate(full);
        let mut parent = hashes.last().copied().unwrap_or(salt);
        while hashes.len() < full {
            parent = block_hash(parent, &[0; BLOCK_BYTES]);
            hashes.push(parent);
        }
        Prompt { tokens, salt, hashes, tail: [0; BLOCK_BYTES] }
    }

    /// Length in tokens, at least 1.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// The chained hashes of the full blocks.
    pub fn block_hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The hash of block `index`, which holds generated tokens, after `parent`. The first such block also holds the prompt's tail.
    pub(crate) fn generated_block(&self, index: u32, parent: u64, output_seed: u64) -> u64 {
        let mut bytes = [0; BLOCK_BYTES];
        for (slot, token) in bytes.as_chunks_mut::<TOKEN_BYTES>().0.iter_mut().zip(index * BLOCK_TOKENS..) {
            *slot = match token.checked_sub(self.tokens) {
                Some(generated) => output_token(output_seed, generated),
                None => {
                    let at = (token % BLOCK_TOKENS) as usize * TOKEN_BYTES;
                    [self.tail[at], self.tail[at + 1], self.tail[at + 2], self.tail[at + 3]]
                }
            };
        }
        block_hash(parent, &bytes)
    }
}

/// The start of the hash chain for an adapter and a client's `cache_salt`.
pub fn salt(adapter: Option<&str>, cache_salt: Option<&str>) -> u64 {
    let mut hash = Xxh3::new();
    for part in [adapter, cache_salt] {
        hash.update(&part.map_or(u64::MAX, |p| p.len() as u64).to_le_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    hash.digest()
}

/// The text of generated token `index` of a job with this seed: a space and three letters, valid in JSON as it is.
pub fn output_token(seed: u64, index: u32) -> [u8; 4] {
    let mut x = seed ^ (u64::from(index) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let letter = |shift: u32| b'a' + ((((x >> shift) & 0xffff) * 26) >> 16) as u8;
    [b' ', letter(0), letter(16), letter(32)]
}

fn block_hash(parent: u64, bytes: &[u8; BLOCK_BYTES]) -> u64 {
    // 0 marks "no hash" in the pool
    xxh3_64_with_seed(bytes, parent).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tails_count_as_one_token() {
        for (bytes, tokens) in [(0, 1), (1, 1), (4, 1), (5, 2), (63, 16), (64, 16), (65, 17)] {
            let prompt = Prompt::from_bytes(&vec![b'x'; bytes], 0);
            assert_eq!(prompt.tokens(), tokens, "{bytes} bytes");
            assert_eq!(prompt.block_hashes().len() as u32, tokens / BLOCK_TOKENS, "{bytes} bytes");
        }
    }

    #[test]
    fn equal_prefixes_have_equal_hashes_up_to_the_difference() {
        let mut text = vec![b'a'; 256];
        let first = Prompt::from_bytes(&text, 1);
        text[130] = b'b';
        let second = Prompt::from_bytes(&text, 1);
        let same = first.block_hashes().iter().zip(second.block_hashes()).filter(|(a, b)| a == b).count();
        assert_eq!(same, 2);
    }

    #[test]
    fn another_adapter_or_cache_salt_never_hits() {
        let salts = [
            salt(None, None),
            salt(Some("a"), None),
            salt(None, Some("a")),
            salt(Some("a"), Some("b")),
            salt(Some("ab"), Some("")),
        ];
        for (i, a) in salts.iter().enumerate() {
            for b in &salts[..i] {
                assert_ne!(
                    Prompt::from_bytes(&[b'x'; 64], *a).block_hashes(),
                    Prompt::from_bytes(&[b'x'; 64], *b).block_hashes()
                );
            }
        }
    }

    #[test]
    fn generated_blocks_hash_like_the_same_text_in_a_prompt() {
        let question: Vec<u8> = (0..100u8).collect();
        let prompt = Prompt::from_bytes(&question, 9);
        let mut whole = question.clone();
        for i in 0..30 {
            whole.extend(output_token(5, i));
        }
        let next_turn = Prompt::from_bytes(&whole, 9);
        let mut hashes = prompt.block_hashes().to_vec();
        for index in hashes.len()..next_turn.block_hashes().len() {
            let parent = hashes.last().copied().unwrap_or(prompt.salt);
            hashes.push(prompt.generated_block(index as u32, parent, 5));
        }
        assert_eq!(hashes, next_turn.block_hashes());
    }

    #[test]
    fn generated_text_needs_no_escaping_in_json() {
        for i in 0..1000 {
            let token = output_token(42, i);
            assert_eq!(token[0], b' ');
            assert!(token[1..].iter().all(u8::is_ascii_lowercase));
        }
    }
}
