//! The parts of a reply: the prompt if asked for, chunks of committed text, then the end.

use super::{round::RoundInfo, token::TokenLogprob, usage::Usage};
use crate::{
    ProtocolError, check, limits,
    wire::verifier::v1::{self as wire, generate_response::Message},
};

/// A part of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// The prompt, as it is read; before any chunk.
    Reading(Reading),
    /// Committed text.
    Chunk(Chunk),
    /// The last part.
    Finish(Box<Finish>),
}

/// The prompt, as it is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Tokens of the whole prompt.
    pub prompt_tokens: u32,
    /// Of those, tokens that were not computed.
    pub cached_tokens: u32,
    /// The next tokens of the prompt, if the request asked for them.
    pub tokens: Vec<TokenLogprob>,
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
    /// Completion tokens of the reply so far.
    pub completion_tokens: u32,
}

impl Chunk {
    /// The text of all pieces.
    pub fn text(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| piece.text.as_str())
            .collect()
    }
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

/// The end of the reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finish {
    /// Why it ended.
    pub reason: FinishReason,
    /// Stop string that ended it.
    pub matched_stop: Option<String>,
    /// Stop token that ended it.
    pub matched_stop_token: Option<u32>,
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
            Message::Reading(reading) => Reading::try_from(reading)
                .map(Self::Reading)
                .map_err(|e| e.within("reading")),
        }
    }
}

impl From<Part> for wire::GenerateResponse {
    fn from(part: Part) -> Self {
        let message = match part {
            Part::Reading(reading) => Message::Reading(reading.into()),
            Part::Chunk(chunk) => Message::Chunk(chunk.into()),
            Part::Finish(finish) => Message::Finish((*finish).into()),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<wire::Reading> for Reading {
    type Error = ProtocolError;

    fn try_from(reading: wire::Reading) -> Result<Self, ProtocolError> {
        let (all, cached) = (reading.prompt_tokens, reading.cached_tokens);
        check::within("cached_tokens", cached, 0..=all)?;
        let most = limits::MAX_READING_TOKENS;
        check::size("tokens", reading.tokens.len(), 0..=most, "tokens")?;
        Ok(Self {
            prompt_tokens: all,
            cached_tokens: cached,
            tokens: tokens(reading.tokens)?,
        })
    }
}

impl From<Reading> for wire::Reading {
    fn from(reading: Reading) -> Self {
        Self {
            prompt_tokens: reading.prompt_tokens,
            cached_tokens: reading.cached_tokens,
            tokens: reading.tokens.into_iter().map(Into::into).collect(),
        }
    }
}

fn tokens(tokens: Vec<wire::TokenLogprob>) -> Result<Vec<TokenLogprob>, ProtocolError> {
    let tokens: Result<_, _> = tokens.into_iter().map(TokenLogprob::try_from).collect();
    tokens.map_err(|e: ProtocolError| e.within("tokens"))
}

impl TryFrom<wire::Chunk> for Chunk {
    type Error = ProtocolError;

    fn try_from(chunk: wire::Chunk) -> Result<Self, ProtocolError> {
        let pieces: Result<_, _> = chunk.pieces.into_iter().map(Piece::try_from).collect();
        let round = chunk.round.map(RoundInfo::try_from).transpose();
        Ok(Self {
            pieces: pieces.map_err(|e: ProtocolError| e.within("pieces"))?,
            round: round.map_err(|e| e.within("round"))?,
            tokens: tokens(chunk.tokens)?,
            completion_tokens: chunk.completion_tokens,
        })
    }
}

impl From<Chunk> for wire::Chunk {
    fn from(chunk: Chunk) -> Self {
        Self {
            pieces: chunk.pieces.into_iter().map(wire::Piece::from).collect(),
            round: chunk.round.map(wire::RoundInfo::from),
            tokens: chunk.tokens.into_iter().map(Into::into).collect(),
            completion_tokens: chunk.completion_tokens,
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
            matched_stop_token: finish.matched_stop_token,
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
            matched_stop_token: finish.matched_stop_token,
            usage: Some(finish.usage.into()),
            method: finish.method.unwrap_or_default(),
            method_reason: finish.method_reason,
            seed: finish.seed,
            request_id: finish.request_id,
        }
    }
}
