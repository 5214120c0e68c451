//! Errors of reading a tokenizer.

use std::path::PathBuf;

/// A tokenizer that cannot be read, or could not be exact.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A GGUF file lacks a key that its kind of tokenizer needs.
    #[error("the model file has no `{0}`: it was converted without its tokenizer")]
    Missing(String),
    /// A GGUF key holds another type of value.
    #[error("`{key}` in the model file should be {expected}")]
    Mistyped {
        /// The key.
        key: String,
        /// Type of a right value.
        expected: &'static str,
    },
    /// Neither byte-level BPE nor SentencePiece BPE.
    #[error("tokenizers of kind `{0}` are not supported, only BPE (`gpt2`, `llama`, `BPE`)")]
    UnknownModel(String),
    /// The rules that cut text into words are not known under this name.
    #[error("pre-tokenizer `{name}` is not known; known are {known}")]
    UnknownPreTokenizer {
        /// The name in the file.
        name: String,
        /// All known names.
        known: String,
    },
    /// Ids, merges or counts that contradict each other: the file is damaged.
    #[error("the vocabulary contradicts itself: {0}")]
    Inconsistent(String),
    /// A step that would change or drop text.
    #[error("{0} in tokenizer.json is not supported: text would be changed or dropped")]
    Unsupported(String),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{} is not valid", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// First place that is wrong.
        source: serde_json::Error,
    },
    /// The library that merges refused the vocabulary.
    #[error("the tokenizer could not be built")]
    Build(#[source] Box<dyn std::error::Error + Send + Sync>),
}
