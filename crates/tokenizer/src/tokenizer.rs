//! Tokenizers as exact bytes.
//!
//! Two vocabularies meet in Duet, and bytes are all they have in common. So a tokenizer here is a table
//! with the exact bytes of every token, and an `encode` whose ids spell exactly the bytes they were
//! given: no normaliser, no dummy prefix space, no BOS, no clean-up, wherever in a text the call starts.
//! The `tokenizers` crate cuts text into words. What is ours is the reading of GGUF metadata, the bytes,
//! the roles of special tokens, keeping text that merely spells a special token apart from the token
//! itself, which that crate can only switch for a whole tokenizer at once, and merging, for the sake of
//! memory.

use std::{collections::BTreeMap, fmt, path::Path};

use crate::{
    bytes,
    error::TokenizerError,
    fingerprint, from_gguf, from_json,
    gguf::Metadata,
    merger::Word,
    pieces::Pieces,
    pipeline::Pipeline,
    recipe::Recipe,
    specials::Specials,
    spelled::{Part, Spelled},
};

/// A vocabulary with the rules that turn text into its ids. Immutable; share it in an `Arc`.
pub struct Tokenizer {
    pieces: Pieces,
    pipeline: Pipeline,
    /// Token that spells each single byte, where there is one.
    single_bytes: Box<[Option<u32>; 256]>,
    /// Tokens found by their spelling in any text: those a vocabulary's author defined as text.
    defined: Spelled,
    /// The same and the control tokens.
    pub(crate) defined_and_control: Spelled,
    specials: Specials,
    /// Spelling of each control token.
    names: BTreeMap<u32, String>,
    chat_template: Option<String>,
    fingerprint: [u8; 32],
    family: String,
}

impl Tokenizer {
    /// Tokenizer in the metadata of a GGUF file.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TokenizerError> {
        Self::build(from_gguf::read(metadata)?)
    }

    /// Reads the `tokenizer.json` of a BPE tokenizer, and in the same folder, if present,
    /// `tokenizer_config.json`, `generation_config.json` and `chat_template.jinja`.
    ///
    /// Normalisers that change text (NFC and the like) and dummy prefix spaces are left out.
    pub fn from_file(tokenizer_json: &Path) -> Result<Self, TokenizerError> {
        Self::build(from_json::read(tokenizer_json)?)
    }

    /// Tokenizer of simulated models: a token for each byte, and one that ends a reply.
    pub fn of_bytes() -> Result<Self, TokenizerError> {
        Self::build(bytes::recipe()?)
    }

    fn build(recipe: Recipe) -> Result<Self, TokenizerError> {
        let pieces = Pieces::new(&recipe);
        let fingerprint = fingerprint::of(&recipe, &pieces);
        let defined = Spelled::new(&recipe, false)?;
        let defined_and_control = Spelled::new(&recipe, true)?;
        let names = recipe.control_names();
        let family = format!("{} ({})", recipe.spelling, recipe.pre.name);
        let specials = recipe.specials.clone();
        let chat_template = recipe.chat_template.clone();
        let pipeline = Pipeline::new(recipe);
        Ok(Self {
            single_bytes: Box::new(pieces.single_bytes()),
            pieces,
            pipeline,
            defined,
            defined_and_control,
            specials,
            names,
            chat_template,
            fingerprint,
            family,
        })
    }

    /// Number of ids, from 0; a model may have more rows than this, which then mean nothing.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Exact bytes of a token; empty for control and unused tokens and for ids out of range.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.pieces.bytes(id)
    }

    /// Token whose bytes are exactly `byte`, the first of several.
    pub fn single_byte(&self, byte: u8) -> Option<u32> {
        self.single_bytes[usize::from(byte)]
    }

    /// Rank among the tokens with the same bytes, from 0. Tokens with text are ordered by id.
    /// Tokens without bytes are too, except that those that end a turn and a sequence come first:
    /// so "the reply ends here" has the same rank in every vocabulary.
    pub fn rank(&self, id: u32) -> u32 {
        self.pieces.rank(id)
    }

    /// Ids of plain text, without control tokens even if the text spells some. They spell the text byte for byte, except for
    /// bytes without a token, which are left out: SmolLM2 lacks 0x1D, for one. A caller who needs every byte compares.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_around(&self.defined, text)
    }

    /// Ids of text in which control tokens are spelled out, as a rendered chat template has them.
    pub fn encode_with_specials(&self, text: &str) -> Vec<u32> {
        self.encode_around(&self.defined_and_control, text)
    }

    /// The ids after the beginning-of-sequence token, if the model wants one and it is not there.
    pub fn begun(&self, mut ids: Vec<u32>) -> Vec<u32> {
        let bos = self.specials.bos.filter(|_| self.specials.adds_bos);
        if let Some(bos) = bos
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        ids
    }

    fn encode_around(&self, spelled: &Spelled, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        let mut word = Word::default();
        spelled.split(text, |part| match part {
            Part::Text(text) => self.pipeline.encode_into(text, &mut word, &mut ids),
            Part::Tokens(_, tokens) => ids.extend_from_slice(tokens),
        });
        ids
    }

    /// Bytes of a run of tokens; not necessarily valid UTF-8.
    pub fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter()
            .flat_map(|&id| self.pieces.bytes(id))
            .copied()
            .collect()
    }

    /// Special tokens by role.
    pub fn specials(&self) -> &Specials {
        &self.specials
    }

    /// True if a token stands for no text: control, unknown and unused tokens.
    pub fn is_control(&self, id: u32) -> bool {
        self.pieces.is_control(id)
    }

    /// Spelling of a control token, for chat templates that name one.
    pub fn control_name(&self, id: u32) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// Source of the chat template that came with the tokenizer.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// SHA-256 over bytes of every token, roles, pre-tokenizer and merges: equal on two sides when their
    /// ids mean the same and the same text gives the same ids.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Kind of tokenizer for people to read: `byte-level BPE (qwen2)`.
    pub fn family(&self) -> &str {
        &self.family
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("family", &self.family)
            .field("vocab_size", &self.vocab_size())
            .finish_non_exhaustive()
    }
}
