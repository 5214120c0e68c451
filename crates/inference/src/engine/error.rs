//! Errors of loading a model and of commands.

use std::path::PathBuf;

use super::simulated::ProfileError;
use crate::checkpoint::CheckpointError;

/// Reason for which a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The checkpoint is unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The profile of a simulated model is unusable.
    #[error("the profile {} of a simulated model cannot be used", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: ProfileError,
    },
    /// An option is out of its range.
    #[error("{field} is {value}; it must be {range}")]
    Option {
        /// The field of [`EngineOptions`](super::EngineOptions).
        field: &'static str,
        /// Value given.
        value: usize,
        /// Right values.
        range: &'static str,
    },
    /// The device is not there, or this build has no support for it.
    #[error("device: {0}")]
    Device(String),
    /// The first forward pass failed.
    #[error("the model loads but does not run: {0}")]
    Warm(String),
    /// The thread ended while it loaded.
    #[error(
        "the model's thread ended while it loaded; this should not happen with any file, please report it"
    )]
    Ended,
    /// The thread could not be started.
    #[error("cannot start the model's thread")]
    Thread(#[source] std::io::Error),
}

/// Reason for which a command was not carried out.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// The limit of open sessions or queued commands is reached.
    #[error("the model is at its limit of {limit} {what}")]
    Full {
        /// `sessions` or `queued commands`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The session would hold more positions than it may.
    #[error("{needed} positions are needed, a session may hold {limit}")]
    ContextFull {
        /// Positions after the command.
        needed: usize,
        /// The limit.
        limit: usize,
    },
    /// A token id that the vocabulary does not have.
    #[error("token {token} is outside the vocabulary of {vocab_size}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Ids of the vocabulary.
        vocab_size: usize,
    },
    /// A command without tokens, or that wants more rows than it has tokens or a pass may have.
    #[error("a pass of {tokens} tokens cannot give {rows} rows of logits; at most {limit}")]
    Rows {
        /// Tokens given.
        tokens: usize,
        /// Rows wanted.
        rows: usize,
        /// Rows that may be wanted.
        limit: usize,
    },
    /// A token of a tree that follows itself or a later one, or a tree that does not say what each token follows.
    #[error("token {token} of a tree of {tokens} does not follow an earlier one")]
    Tree {
        /// Place of the token.
        token: usize,
        /// Tokens given.
        tokens: usize,
    },
    /// Rows to keep of a tree that are no path from its beginning; nothing is kept.
    #[error("the rows {rows:?} of a tree are no path")]
    Path {
        /// The rows.
        rows: Vec<usize>,
    },
    /// The forward pass failed; the session is unusable.
    #[error("the forward pass failed: {0}")]
    Compute(String),
    /// The model's thread has ended.
    #[error("the model's thread has stopped")]
    Stopped,
}
