//! A tokenizer as re-encoding sees it.

use alignment::Vocabulary;

use crate::tokenizer::Tokenizer;

impl Vocabulary for Tokenizer {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.token_bytes(id)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.encode(text)
    }

    fn single_byte(&self, byte: u8) -> Option<u32> {
        self.single_byte(byte)
    }
}
