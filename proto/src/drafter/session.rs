//! Beginning and end of a session.

use super::{PROTOCOL_VERSION, Wish};
use crate::{
    ProtocolError, check, limits,
    model::{Fingerprint, Prompt, Sampling},
    wire::drafter::v1 as wire,
};

/// Opens a session. The protocol version is [`PROTOCOL_VERSION`]; another one is refused on receipt.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// Opaque, for logs and traces.
    pub session_id: String,
    /// Prompt that the reply answers.
    pub prompt: Prompt,
    /// Reply committed so far; empty for a new one.
    pub committed: Vec<u8>,
    /// Name of the acceptance method.
    pub method: String,
    /// Seed of the shared noise.
    pub seed: u64,
    /// Sampling of the target.
    pub sampling: Sampling,
    /// Factor on the draft distribution's logarithm under "coupled".
    pub sharpness: f32,
    /// Draft tokens that the chain of any block may have.
    pub max_block_tokens: u32,
    /// Bytes that any block may have.
    pub max_block_bytes: u32,
    /// Blocks that may be unanswered.
    pub credit: u32,
    /// Fingerprint that the draft model's tokenizer must have.
    pub expected_fingerprint: Option<Fingerprint>,
    /// True if blocks may be trees.
    pub accepts_trees: bool,
    /// Tokens that may be drawn: id n may if bit n mod 8 of byte n / 8 is set. Empty: all.
    pub drawable: Vec<u8>,
    /// Wish that holds until a verdict replaces it; `None`: see [`Open::first_wish`].
    pub first: Option<Wish>,
}

/// Says that a session is open, with the limits that hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened {
    /// Name of the draft model.
    pub model: String,
    /// Fingerprint of its tokenizer.
    pub tokenizer_fingerprint: Fingerprint,
    /// Draft tokens that the chain of no block will exceed.
    pub block_tokens: u32,
    /// Bytes that no block will exceed.
    pub max_block_bytes: u32,
    /// Blocks that the drafter will leave unanswered.
    pub credit: u32,
    /// Positions left in the draft model's context.
    pub context_left: u32,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseReason {
    /// No reason given.
    Unspecified,
    /// The reply is complete.
    Finished,
    /// The client went away.
    Cancelled,
    /// The verifier goes on without this drafter.
    Dismissed,
}

/// One thing that went wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Kind of failure.
    pub code: FailureCode,
    /// Details for a person.
    pub text: String,
}

/// Kinds of failure. All but `Overloaded` end the stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FailureCode {
    /// The draft model's context is full.
    ContextFull,
    /// The kept bytes or the hash of a verdict disagree with the drafter's text.
    Desynchronised,
    /// This block is skipped.
    Overloaded,
    /// A fault of the drafter, or a kind not known here.
    Internal,
    /// The drafter is stopping.
    Stopping,
}

impl Open {
    /// Wish for the first block; a chain of `max_block_tokens` where `first` is absent.
    pub fn first_wish(&self) -> Wish {
        self.first.unwrap_or(Wish::chain(self.max_block_tokens))
    }
}

impl TryFrom<wire::Open> for Open {
    type Error = ProtocolError;

    fn try_from(open: wire::Open) -> Result<Self, ProtocolError> {
        if open.protocol_version != PROTOCOL_VERSION {
            let found = open.protocol_version;
            return Err(ProtocolError::Version {
                found,
                spoken: PROTOCOL_VERSION,
            });
        }
        let prompt = check::required(
            "prompt",
            open.prompt,
            "a text, a conversation, token ids or a text with a gap",
        )?;
        let committed = open.committed.len();
        check::size(
            "committed",
            committed,
            0..=limits::MAX_COMMITTED_BYTES,
            "bytes",
        )?;
        let sampling = open.sampling.unwrap_or_default();
        let tokens = open.max_block_tokens;
        let bytes = open.max_block_bytes;
        let fingerprint = open.expected_fingerprint.as_deref();
        let first = open.first.map(|first| {
            let first = Wish::try_from(first)?;
            first.check_within(tokens, open.accepts_trees)?;
            Ok(first)
        });
        let first: Result<Option<Wish>, ProtocolError> = first.transpose();
        Ok(Self {
            session_id: check::identifier("session_id", open.session_id, 1)?,
            prompt: Prompt::try_from(prompt).map_err(|e| e.within("prompt"))?,
            committed: open.committed,
            method: check::method("method", open.method)?,
            seed: open.seed,
            sampling: Sampling::try_from(sampling).map_err(|e| e.within("sampling"))?,
            sharpness: check::positive(
                "sharpness",
                open.sharpness.unwrap_or(1.0),
                limits::MAX_SHARPNESS,
            )?,
            max_block_tokens: check::within(
                "max_block_tokens",
                tokens,
                1..=limits::MAX_BLOCK_TOKENS,
            )?,
            max_block_bytes: check::within("max_block_bytes", bytes, 1..=limits::MAX_BLOCK_BYTES)?,
            credit: check::within("credit", open.credit, 1..=limits::MAX_CREDIT)?,
            expected_fingerprint: fingerprint
                .map(|bytes| check::fingerprint("expected_fingerprint", bytes).map(Fingerprint))
                .transpose()?,
            accepts_trees: open.accepts_trees,
            drawable: {
                let most = limits::MAX_DRAWABLE_BYTES;
                check::size("drawable", open.drawable.len(), 0..=most, "bytes")?;
                open.drawable
            },
            first: first.map_err(|e| e.within("first"))?,
        })
    }
}

impl From<Open> for wire::Open {
    fn from(open: Open) -> Self {
        Self {
            protocol_version: PROTOCOL_VERSION,
            session_id: open.session_id,
            prompt: Some(open.prompt.into()),
            committed: open.committed,
            method: open.method,
            seed: open.seed,
            sampling: Some(open.sampling.into()),
            sharpness: Some(open.sharpness),
            max_block_tokens: open.max_block_tokens,
            max_block_bytes: open.max_block_bytes,
            credit: open.credit,
            expected_fingerprint: open.expected_fingerprint.map(|f| f.0.to_vec()),
            accepts_trees: open.accepts_trees,
            drawable: open.drawable,
            first: open.first.map(Into::into),
        }
    }
}

impl TryFrom<wire::Opened> for Opened {
    type Error = ProtocolError;

    fn try_from(opened: wire::Opened) -> Result<Self, ProtocolError> {
        let fingerprint = &opened.tokenizer_fingerprint;
        let tokens = opened.block_tokens;
        let bytes = opened.max_block_bytes;
        Ok(Self {
            tokenizer_fingerprint: Fingerprint(check::fingerprint(
                "tokenizer_fingerprint",
                fingerprint,
            )?),
            model: opened.model,
            block_tokens: check::within("block_tokens", tokens, 1..=limits::MAX_BLOCK_TOKENS)?,
            max_block_bytes: check::within("max_block_bytes", bytes, 1..=limits::MAX_BLOCK_BYTES)?,
            credit: check::within("credit", opened.credit, 1..=limits::MAX_CREDIT)?,
            context_left: opened.context_left,
        })
    }
}

impl From<Opened> for wire::Opened {
    fn from(opened: Opened) -> Self {
        Self {
            model: opened.model,
            tokenizer_fingerprint: opened.tokenizer_fingerprint.0.to_vec(),
            block_tokens: opened.block_tokens,
            max_block_bytes: opened.max_block_bytes,
            credit: opened.credit,
            context_left: opened.context_left,
        }
    }
}

impl TryFrom<wire::Close> for CloseReason {
    type Error = ProtocolError;

    fn try_from(close: wire::Close) -> Result<Self, ProtocolError> {
        Ok(match check::known("reason", close.reason)? {
            wire::CloseReason::Unspecified => Self::Unspecified,
            wire::CloseReason::Finished => Self::Finished,
            wire::CloseReason::Cancelled => Self::Cancelled,
            wire::CloseReason::Dismissed => Self::Dismissed,
        })
    }
}

impl From<CloseReason> for wire::Close {
    fn from(reason: CloseReason) -> Self {
        let reason = match reason {
            CloseReason::Unspecified => wire::CloseReason::Unspecified,
            CloseReason::Finished => wire::CloseReason::Finished,
            CloseReason::Cancelled => wire::CloseReason::Cancelled,
            CloseReason::Dismissed => wire::CloseReason::Dismissed,
        };
        Self {
            reason: reason.into(),
        }
    }
}

impl TryFrom<wire::Failure> for Failure {
    type Error = ProtocolError;

    fn try_from(failure: wire::Failure) -> Result<Self, ProtocolError> {
        check::size(
            "text",
            failure.text.len(),
            0..=limits::MAX_FAILURE_BYTES,
            "bytes",
        )?;
        let code = match failure.code() {
            wire::FailureCode::ContextFull => FailureCode::ContextFull,
            wire::FailureCode::Desynchronised => FailureCode::Desynchronised,
            wire::FailureCode::Overloaded => FailureCode::Overloaded,
            wire::FailureCode::Stopping => FailureCode::Stopping,
            wire::FailureCode::Internal | wire::FailureCode::Unspecified => FailureCode::Internal,
        };
        Ok(Self {
            code,
            text: failure.text,
        })
    }
}

impl From<Failure> for wire::Failure {
    fn from(failure: Failure) -> Self {
        let code = match failure.code {
            FailureCode::ContextFull => wire::FailureCode::ContextFull,
            FailureCode::Desynchronised => wire::FailureCode::Desynchronised,
            FailureCode::Overloaded => wire::FailureCode::Overloaded,
            FailureCode::Internal => wire::FailureCode::Internal,
            FailureCode::Stopping => wire::FailureCode::Stopping,
        };
        Self {
            code: code.into(),
            text: failure.text,
        }
    }
}
