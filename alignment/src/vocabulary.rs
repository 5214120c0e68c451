//! The interface of a tokenizer that this crate needs. A trait, because tokenizers live in another crate
//! and because re-encoding is tested against small vocabularies with awkward merges.

/// A tokenizer, as far as re-encoding needs one.
pub trait Vocabulary {
    /// Exact bytes of a token; empty for control tokens and for ids out of range.
    fn token_bytes(&self, id: u32) -> &[u8];

    /// Encodes plain text: text that spells a special token stays text, no token is added in front,
    /// no dummy space is put before it and nothing is cleaned up afterwards.
    fn encode(&self, text: &str) -> Vec<u32>;

    /// The token whose bytes are exactly `byte`, if there is one. With it, a block can finish a code
    /// point that the committed text left half written. A vocabulary that does not say proposes
    /// nothing there unless its own encoding happens to split the code point in the same place.
    fn single_byte(&self, byte: u8) -> Option<u32> {
        let _ = byte;
        None
    }
}
