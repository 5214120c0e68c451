//! How a session begins and ends.

use super::PROTOCOL_VERSION;
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
    /// What the reply answers.
    pub prompt: Prompt,
    /// Reply committed so far; empty for a new one.
    pub committed: Vec<u8>,
    /// Name of the acceptance method.
    pub method: String,
    /// Seed of the shared noise.
    pub seed: u64,
    /// How the target samples.
    pub sampling: Sampling,
    /// Factor on the draft distribution's logarithm under "coupled".
    pub sharpness: f32,
    /// The most draft tokens that any block may have.
    pub max_block_tokens: u32,
    /// Bytes of any block at most.
    pub max_block_bytes: u32,
    /// Blocks that may be unanswered.
    pub credit: u32,
    /// Fingerprint that the draft model's tokenizer must have.
    pub expected_fingerprint: Option<Fingerprint>,
    /// Whether blocks may be trees of candidates.
    pub accepts_trees: bool,
    /// Draft tokens of the first block; `None`: `max_block_tokens`.
    pub first_block_tokens: Option<u32>,
    /// Tokens that may be drawn: id n is bit n mod 8 of byte n / 8. Empty: all.
    pub drawable: Vec<u8>,
    /// The same as [`super::Verdict::next_least_percent`], for the first block.
    pub first_least_percent: u32,
}

/// Says that a session is open, with the limits that hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened {
    /// Name of the draft model.
    pub model: String,
    /// Fingerprint of its tokenizer.
    pub tokenizer_fingerprint: Fingerprint,
    /// Draft tokens that the first block aims at.
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
    /// Not said.
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
    /// What follows from it.
    pub code: FailureCode,
    /// Details for a person.
    pub text: String,
}

/// Kinds of failure. All but `Overloaded` end the stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FailureCode {
    /// The draft model's context is full.
    ContextFull,
    /// What a verdict keeps, or its hash, does not fit what the drafter has.
    Desynchronised,
    /// This block is skipped.
    Overloaded,
    /// A fault of the drafter, or a kind not known here.
    Internal,
    /// The drafter is stopping.
    Stopping,
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
        let prompt = check::required("prompt", open.prompt, "text or a conversation")?;
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
                .map(|bytes| check::fingerprint("expected_fingerprint", bytes))
                .transpose()?,
            accepts_trees: open.accepts_trees,
            first_block_tokens: open
                .first_block_tokens
                .map(|first| check::within("first_block_tokens", first, 1..=tokens))
                .transpose()?,
            drawable: {
                let most = limits::MAX_DRAWABLE_BYTES;
                check::size("drawable", open.drawable.len(), 0..=most, "bytes")?;
                open.drawable
            },
            first_least_percent: check::within(
                "first_least_percent",
                open.first_least_percent,
                0..=100,
            )?,
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
            first_block_tokens: open.first_block_tokens,
            drawable: open.drawable,
            first_least_percent: open.first_least_percent,
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
            tokenizer_fingerprint: check::fingerprint("tokenizer_fingerprint", fingerprint)?,
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
