//! Errors of loading a checkpoint.

use std::path::PathBuf;

use tokenizer::TokenizerError;
use tokenizer::template::TemplateError;

/// Reason for which a checkpoint cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// There is nothing at the path, or it cannot be read.
    #[error("cannot read {}; check the path and its permissions", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The file is not what its name says, or ends too early.
    #[error("{} is not a usable checkpoint: {reason}; fetch it again, or check it with `duet models verify`", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A model of a kind that the decoder does not have.
    #[error(
        "architecture \"{0}\" is not supported; take a model of llama (with mistral), qwen2, qwen3 or gemma3"
    )]
    Architecture(String),
    /// A configuration value that is missing or makes no sense.
    #[error(
        "the model's configuration \"{key}\" {reason}; fetch the model again, or take one that was converted for llama.cpp or transformers"
    )]
    Configuration {
        /// The metadata key or JSON field.
        key: String,
        /// The fault.
        reason: String,
    },
    /// A weight that the architecture needs is not there, or has another shape.
    #[error(
        "the weight \"{name}\" {reason}; fetch the model again, or take one that was converted for this architecture"
    )]
    Weight {
        /// The tensor's name in the file.
        name: String,
        /// The fault.
        reason: String,
    },
    /// The tokenizer cannot be built.
    #[error(
        "the model's tokenizer cannot be used; fetch the model again, or take one whose tokenizer is supported"
    )]
    Tokenizer(#[from] TokenizerError),
    /// The chat template cannot be parsed.
    #[error("the model's chat template cannot be used; take a model with another one")]
    Template(#[from] TemplateError),
}

impl CheckpointError {
    pub(super) fn missing(name: &str) -> Self {
        Self::Weight {
            name: name.to_owned(),
            reason: "is not in the checkpoint".to_owned(),
        }
    }
}
