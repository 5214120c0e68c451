//! A tokenizer that composes characters before it encodes, as some are used elsewhere: ours never does.

use alignment::Vocabulary;
use tests::vocabularies::RealVocabulary;
use tokenizers::normalizers::NFKC;
use tokenizers::{NormalizedString, Normalizer as _};

/// A vocabulary that normalises text by NFKC first.
pub(crate) struct Normalised<'a>(pub(crate) &'a RealVocabulary);

impl Vocabulary for Normalised<'_> {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.0.token_bytes(id)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let mut text = NormalizedString::from(text);
        NFKC.normalize(&mut text).expect("it cannot fail");
        self.0.encode(text.get())
    }

    fn single_byte(&self, byte: u8) -> Option<u32> {
        self.0.single_byte(byte)
    }
}
