//! Tokenizers of real families, from the cache of `duet models`, as re-encoding sees them.

use std::path::PathBuf;

use alignment::Vocabulary;
use inference::checkpoint::BareTokenizer;
use store::{ModelReference, Progress, Store};
use tokenizer::Tokenizer;

/// One family each of what real pairs are made of, as `duet models list` names them. SmolLM2's comes in its model.
pub const FAMILIES: [&str; 6] = [
    "tokenizer:gemma3",
    "tokenizer:qwen3",
    "smollm2-135m",
    "tokenizer:llama3",
    "tokenizer:deepseek-v3",
    "tokenizer:gpt-4o",
];

/// A vocabulary with merges over spaces, a dummy prefix in its file, and bytes for most of Unicode.
pub const LLAMA2: &str = "tokenizer:llama2";

/// A tokenizer with the tokens of single bytes at hand, as a verifier has them.
#[derive(Debug)]
pub struct RealVocabulary {
    name: String,
    tokenizer: Tokenizer,
}

impl RealVocabulary {
    /// Fetches the tokenizer if it is not in the cache, and loads it.
    ///
    /// # Panics
    ///
    /// Where it cannot be had, with the command that says more.
    pub fn load(name: &str) -> Self {
        let bare = BareTokenizer::open(&path(name))
            .unwrap_or_else(|error| panic!("{name} cannot be loaded: {error:?}"));
        Self {
            name: name.to_owned(),
            tokenizer: bare.tokenizer,
        }
    }

    /// The family, in short.
    pub fn family(&self) -> &str {
        self.name.strip_prefix("tokenizer:").unwrap_or(&self.name)
    }

    /// The tokenizer itself.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// True if every byte can be spelled. SmolLM2 lacks a few control characters.
    pub fn spells_every_byte_of(&self, text: &[u8]) -> bool {
        text.iter()
            .all(|byte| self.tokenizer.single_byte(*byte).is_some())
    }
}

impl Vocabulary for RealVocabulary {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.tokenizer.token_bytes(id)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text)
    }

    fn single_byte(&self, byte: u8) -> Option<u32> {
        self.tokenizer.single_byte(byte)
    }
}

/// Path of a known model or tokenizer; it is fetched if it is not in the user's cache folder.
///
/// # Panics
///
/// Where it cannot be had, with the command that says more.
pub fn path(name: &str) -> PathBuf {
    let fetched = Store::open(None).and_then(|store| {
        let reference: ModelReference = name.parse()?;
        store.resolve(&reference, &mut Told)
    });
    fetched.unwrap_or_else(|error| {
        panic!("{name} cannot be fetched: {error}; `duet models pull {name}` says more")
    })
}

/// Says why a source was of no use.
struct Told;

impl Progress for Told {
    fn started(&mut self, _: &str, _: u64) {}
    fn advanced(&mut self, _: u64) {}
    fn source_passed_over(&mut self, source: &str, why: &str) {
        eprintln!("passed over {source}: {why}");
    }
    fn finished(&mut self) {}
}
