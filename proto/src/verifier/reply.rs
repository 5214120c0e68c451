//! The parts of a reply: chunks of committed text, then the end.

use std::time::Duration;

use super::{
    detail::RoundDetail,
    token::TokenLogprob,
    usage::{FallbackReason, Usage},
};
use crate::{
    ProtocolError, check,
    wire::verifier::v1::{self as wire, generate_response::Message},
};

/// A part of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Committed text.
    Chunk(Chunk),
    /// The last part.
    Finish(Box<Finish>),
}

/// Text committed by one round or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk {
    /// In the order of the reply.
    pub pieces: Vec<Piece>,
    /// The round, if the request asked for it.
    pub round: Option<RoundInfo>,
    /// Tokens that the text so far completes, if the request asked for them.
    pub tokens: Vec<TokenLogprob>,
}

/// Text with one origin; never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Origin of the text.
    pub origin: Origin,
    /// The text.
    pub text: String,
}

/// Origin of committed text.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Origin {
    /// Proposed by a drafter and accepted.
    Accepted,
    /// The target's own choice in place of a rejected proposal.
    Correction,
    /// Bonus token: the target's own choice after a proposal accepted in full.
    Bonus,
    /// Decoded with nothing proposed.
    Plain,
}

/// One round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundInfo {
    /// Number of the round, from 1.
    pub round: u64,
    /// Candidate tokens verified.
    pub proposed_tokens: u32,
    /// Bytes that they spell.
    pub proposed_bytes: u32,
    /// Candidate tokens accepted.
    pub accepted_tokens: u32,
    /// Bytes that those spell.
    pub accepted_bytes: u32,
    /// Why nothing was proposed; `None`: something was.
    pub fallback: Option<FallbackReason>,
    /// Times of its parts.
    pub timings: RoundTimings,
    /// The round token by token, if the request asked for it.
    pub detail: Option<Box<RoundDetail>>,
}

/// Times of the parts of a round.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RoundTimings {
    /// Waiting for the block.
    pub draft_wait: Duration,
    /// Finding the candidates.
    pub re_encode: Duration,
    /// Aligning.
    pub align: Duration,
    /// Waiting for the target model's thread.
    pub queue: Duration,
    /// The forward pass.
    pub verify: Duration,
    /// Deciding what to accept.
    pub accept: Duration,
    /// The drafter's forward passes, on its clock.
    pub draft_compute: Duration,
}

/// The end of the reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finish {
    /// Why it ended.
    pub reason: FinishReason,
    /// Stop string that ended it.
    pub matched_stop: Option<String>,
    /// Usage of the reply.
    pub usage: Usage,
    /// Method used; `None`: plain decoding.
    pub method: Option<String>,
    /// Why that method.
    pub method_reason: String,
    /// Seed used.
    pub seed: u64,
    /// The request's id.
    pub request_id: String,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FinishReason {
    /// The model ended it, or a stop string did.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The target's context is full.
    ContextFull,
    /// The verifier had to stop.
    Cancelled,
}

impl TryFrom<wire::GenerateResponse> for Part {
    type Error = ProtocolError;

    fn try_from(response: wire::GenerateResponse) -> Result<Self, ProtocolError> {
        match check::required("message", response.message, "a chunk or finish")? {
            Message::Chunk(chunk) => Chunk::try_from(chunk)
                .map(Self::Chunk)
                .map_err(|e| e.within("chunk")),
            Message::Finish(finish) => Finish::try_from(finish)
                .map(|finish| Self::Finish(Box::new(finish)))
                .map_err(|e| e.within("finish")),
        }
    }
}

impl From<Part> for wire::GenerateResponse {
    fn from(part: Part) -> Self {
        let message = match part {
            Part::Chunk(chunk) => Message::Chunk(chunk.into()),
            Part::Finish(finish) => Message::Finish((*finish).into()),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<wire::Chunk> for Chunk {
    type Error = ProtocolError;

    fn try_from(chunk: wire::Chunk) -> Result<Self, ProtocolError> {
        let pieces: Result<_, _> = chunk.pieces.into_iter().map(Piece::try_from).collect();
        let round = chunk.round.map(RoundInfo::try_from).transpose();
        let tokens: Result<_, _> = chunk
            .tokens
            .into_iter()
            .map(TokenLogprob::try_from)
            .collect();
        Ok(Self {
            pieces: pieces.map_err(|e: ProtocolError| e.within("pieces"))?,
            round: round.map_err(|e| e.within("round"))?,
            tokens: tokens.map_err(|e: ProtocolError| e.within("tokens"))?,
        })
    }
}

impl From<Chunk> for wire::Chunk {
    fn from(chunk: Chunk) -> Self {
        Self {
            pieces: chunk.pieces.into_iter().map(wire::Piece::from).collect(),
            round: chunk.round.map(wire::RoundInfo::from),
            tokens: chunk.tokens.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Piece> for Piece {
    type Error = ProtocolError;

    fn try_from(piece: wire::Piece) -> Result<Self, ProtocolError> {
        let origin = match check::known("origin", piece.origin)? {
            wire::Origin::Unspecified => return Err(check::unspecified("origin", piece.origin)),
            wire::Origin::Accepted => Origin::Accepted,
            wire::Origin::Correction => Origin::Correction,
            wire::Origin::Bonus => Origin::Bonus,
            wire::Origin::Plain => Origin::Plain,
        };
        check::size("text", piece.text.len(), 1..=usize::MAX, "bytes")?;
        Ok(Self {
            origin,
            text: piece.text,
        })
    }
}

impl From<Piece> for wire::Piece {
    fn from(piece: Piece) -> Self {
        let origin = match piece.origin {
            Origin::Accepted => wire::Origin::Accepted,
            Origin::Correction => wire::Origin::Correction,
            Origin::Bonus => wire::Origin::Bonus,
            Origin::Plain => wire::Origin::Plain,
        };
        Self {
            origin: origin.into(),
            text: piece.text,
        }
    }
}

impl TryFrom<wire::RoundInfo> for RoundInfo {
    type Error = ProtocolError;

    fn try_from(info: wire::RoundInfo) -> Result<Self, ProtocolError> {
        let (proposed, accepted) = (info.proposed_tokens, info.accepted_tokens);
        check::within("accepted_tokens", accepted, 0..=proposed)?;
        check::within(
            "accepted_bytes",
            info.accepted_bytes,
            0..=info.proposed_bytes,
        )?;
        let detail = info
            .detail
            .map(|detail| RoundDetail::from_wire(detail, (proposed, accepted)));
        let detail = detail.transpose().map_err(|e| e.within("detail"))?;
        Ok(Self {
            round: check::within("round", info.round, 1..=u64::MAX)?,
            proposed_tokens: proposed,
            proposed_bytes: info.proposed_bytes,
            accepted_tokens: accepted,
            accepted_bytes: info.accepted_bytes,
            fallback: FallbackReason::from_wire("fallback", info.fallback)?,
            timings: info.timings.unwrap_or_default().into(),
            detail: detail.map(Box::new),
        })
    }
}

impl From<RoundInfo> for wire::RoundInfo {
    fn from(info: RoundInfo) -> Self {
        Self {
            round: info.round,
            proposed_tokens: info.proposed_tokens,
            proposed_bytes: info.proposed_bytes,
            accepted_tokens: info.accepted_tokens,
            accepted_bytes: info.accepted_bytes,
            fallback: FallbackReason::to_wire(info.fallback).into(),
            timings: Some(info.timings.into()),
            detail: info.detail.map(|detail| (*detail).into()),
        }
    }
}

impl From<wire::RoundTimings> for RoundTimings {
    fn from(timings: wire::RoundTimings) -> Self {
        Self {
            draft_wait: Duration::from_micros(timings.draft_wait_micros),
            re_encode: Duration::from_micros(timings.re_encode_micros),
            align: Duration::from_micros(timings.align_micros),
            queue: Duration::from_micros(timings.queue_micros),
            verify: Duration::from_micros(timings.verify_micros),
            accept: Duration::from_micros(timings.accept_micros),
            draft_compute: Duration::from_micros(timings.draft_compute_micros),
        }
    }
}

impl From<RoundTimings> for wire::RoundTimings {
    fn from(timings: RoundTimings) -> Self {
        Self {
            draft_wait_micros: check::micros(timings.draft_wait),
            re_encode_micros: check::micros(timings.re_encode),
            align_micros: check::micros(timings.align),
            queue_micros: check::micros(timings.queue),
            verify_micros: check::micros(timings.verify),
            accept_micros: check::micros(timings.accept),
            draft_compute_micros: check::micros(timings.draft_compute),
        }
    }
}

impl TryFrom<wire::Finish> for Finish {
    type Error = ProtocolError;

    fn try_from(finish: wire::Finish) -> Result<Self, ProtocolError> {
        let reason = match check::known("reason", finish.reason)? {
            wire::FinishReason::Unspecified => {
                return Err(check::unspecified("reason", finish.reason));
            }
            wire::FinishReason::Stop => FinishReason::Stop,
            wire::FinishReason::Length => FinishReason::Length,
            wire::FinishReason::ContextFull => FinishReason::ContextFull,
            wire::FinishReason::Cancelled => FinishReason::Cancelled,
        };
        let usage = check::required("usage", finish.usage, "present")?;
        Ok(Self {
            reason,
            matched_stop: finish.matched_stop,
            usage: Usage::try_from(usage).map_err(|e| e.within("usage"))?,
            method: Some(finish.method).filter(|name| !name.is_empty()),
            method_reason: finish.method_reason,
            seed: finish.seed,
            request_id: finish.request_id,
        })
    }
}

impl From<Finish> for wire::Finish {
    fn from(finish: Finish) -> Self {
        let reason = match finish.reason {
            FinishReason::Stop => wire::FinishReason::Stop,
            FinishReason::Length => wire::FinishReason::Length,
            FinishReason::ContextFull => wire::FinishReason::ContextFull,
            FinishReason::Cancelled => wire::FinishReason::Cancelled,
        };
        Self {
            reason: reason.into(),
            matched_stop: finish.matched_stop,
            usage: Some(finish.usage.into()),
            method: finish.method.unwrap_or_default(),
            method_reason: finish.method_reason,
            seed: finish.seed,
            request_id: finish.request_id,
        }
    }
}
