//! The parts of a `tokenizer.json` that say what its ids mean.

use std::{collections::HashMap, fmt, fs, io, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::error::TokenizerError;

/// Larger files are taken for something else; Gemma's has 33 million.
const MAX_BYTES: u64 = 1 << 28;

#[derive(Deserialize)]
pub(super) struct File {
    #[serde(default)]
    pub(super) added_tokens: Vec<Added>,
    pub(super) normalizer: Option<Value>,
    pub(super) pre_tokenizer: Option<Value>,
    pub(super) post_processor: Option<Value>,
    pub(super) decoder: Option<Value>,
    pub(super) model: Model,
}

/// A token that is found by its spelling. Flags that swallow spaces around it are not read: all text
/// counts.
#[derive(Deserialize)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) special: bool,
}

#[derive(Deserialize)]
pub(super) struct Model {
    pub(super) vocab: HashMap<String, u32>,
    pub(super) merges: Vec<Pair>,
    pub(super) unk_token: Option<String>,
    pub(super) continuing_subword_prefix: Option<String>,
    pub(super) end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
}

/// Two pieces, which older files write as one string with a space between.
pub(super) struct Pair {
    line: String,
    /// Length of the first piece.
    cut: usize,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, TokenizerError> {
        let bytes = read_limited(path).map_err(|source| TokenizerError::Read {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&bytes).map_err(|source| match kind(&bytes) {
            Some(kind) if kind != "BPE" => TokenizerError::UnknownModel(kind),
            _ => TokenizerError::Parse {
                path: path.to_owned(),
                source,
            },
        })
    }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        let reason = format!("not a file of at most {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    fs::read(path)
}

/// Kind of the model, of a file that does not hold what BPE needs.
fn kind(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Peek {
        model: PeekModel,
    }
    #[derive(Deserialize)]
    struct PeekModel {
        r#type: String,
    }
    serde_json::from_slice::<Peek>(bytes)
        .ok()
        .map(|peek| peek.model.r#type)
}

impl Pair {
    /// The two pieces.
    pub(super) fn pieces(&self) -> (&str, &str) {
        self.line.split_at(self.cut)
    }
}

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairVisitor)
    }
}

struct PairVisitor;

impl<'de> Visitor<'de> for PairVisitor {
    type Value = Pair;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("two pieces, as an array or with a space between")
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<Pair, E> {
        let (left, right) = line
            .split_once(' ')
            .ok_or_else(|| E::custom("a merge without a space"))?;
        Ok(Pair {
            line: [left, right].concat(),
            cut: left.len(),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Pair, A::Error> {
        let mut line: String = pair
            .next_element()?
            .ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let cut = line.len();
        let right: String = pair
            .next_element()?
            .ok_or_else(|| A::Error::invalid_length(1, &self))?;
        if pair.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::invalid_length(3, &self));
        }
        line.push_str(&right);
        Ok(Pair { line, cut })
    }
}
