//! Reports on rounds: propose, verify, accept.

use std::time::Duration;

use super::{detail::RoundDetail, usage::FallbackReason};
use crate::{ProtocolError, check, wire::verifier::v1 as wire};

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
    /// Source of the proposal; `None`: there was none.
    pub proposer: Option<Proposer>,
    /// Times of its parts.
    pub timings: RoundTimings,
    /// The round token by token, if the request asked for it.
    pub detail: Option<Box<RoundDetail>>,
}

/// Source of a proposal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Proposer {
    /// A drafter's model.
    Model,
    /// A drafter's look-up in prompt and reply.
    Lookup,
    /// The request's prediction.
    Prediction,
    /// The request's grammar.
    Grammar,
}

impl Proposer {
    /// Name in events and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Lookup => "lookup",
            Self::Prediction => "prediction",
            Self::Grammar => "grammar",
        }
    }

    fn from_wire(proposer: i32) -> Result<Option<Self>, ProtocolError> {
        Ok(match check::known("proposer", proposer)? {
            wire::Proposer::Unspecified => None,
            wire::Proposer::Model => Some(Self::Model),
            wire::Proposer::Lookup => Some(Self::Lookup),
            wire::Proposer::Prediction => Some(Self::Prediction),
            wire::Proposer::Grammar => Some(Self::Grammar),
        })
    }

    fn to_wire(proposer: Option<Self>) -> wire::Proposer {
        match proposer {
            None => wire::Proposer::Unspecified,
            Some(Self::Model) => wire::Proposer::Model,
            Some(Self::Lookup) => wire::Proposer::Lookup,
            Some(Self::Prediction) => wire::Proposer::Prediction,
            Some(Self::Grammar) => wire::Proposer::Grammar,
        }
    }
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
            proposer: Proposer::from_wire(info.proposer)?,
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
            proposer: Proposer::to_wire(info.proposer).into(),
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
