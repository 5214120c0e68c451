//! Parts of a reply as JSON.

use std::{collections::BTreeMap, time::Duration};

use proto::verifier::{
    Chunk, DroppedBlock, FallbackReason, Finish, FinishReason, Origin, Proposer, RoundClock,
    RoundDetail, RoundInfo, RoundTimings, TargetToken, Usage,
};
use serde::Serialize;

/// `event: chunk`.
#[derive(Serialize)]
pub(super) struct ChunkEvent {
    pieces: Vec<PieceJson>,
    round: Option<RoundJson>,
}

#[derive(Serialize)]
struct PieceJson {
    origin: &'static str,
    text: String,
}

#[derive(Serialize)]
struct RoundJson {
    round: u64,
    proposed_tokens: u32,
    proposed_bytes: u32,
    accepted_tokens: u32,
    accepted_bytes: u32,
    fallback: Option<&'static str>,
    proposer: Option<&'static str>,
    timings: TimingsJson,
    detail: Option<DetailJson>,
}

#[derive(Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "JSON has no types to name the unit"
)]
struct TimingsJson {
    draft_wait_micros: u64,
    re_encode_micros: u64,
    align_micros: u64,
    queue_micros: u64,
    verify_micros: u64,
    accept_micros: u64,
    draft_compute_micros: u64,
}

#[derive(Serialize)]
struct DetailJson {
    clock: ClockJson,
    draft_tokens: Vec<BytesJson>,
    draft_ends: bool,
    skipped_bytes: u32,
    candidates: Vec<TokenJson>,
    groups: Vec<GroupJson>,
    chosen: Option<TokenJson>,
    dropped: Vec<DroppedJson>,
}

#[derive(Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "JSON has no types to name the unit"
)]
struct ClockJson {
    began_micros: u64,
    block_arrived_micros: Option<u64>,
    verify_began_micros: u64,
    verify_ended_micros: u64,
    ended_micros: u64,
}

/// Bytes as text, and as numbers if they are not UTF-8.
#[derive(Serialize)]
struct BytesJson {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<Vec<u8>>,
}

#[derive(Serialize)]
struct TokenJson {
    id: u32,
    #[serde(flatten)]
    spelled: BytesJson,
    probability: f32,
}

/// Half-open ranges of indices into `draft_tokens` and `candidates`.
#[derive(Serialize)]
struct GroupJson {
    draft: [u32; 2],
    candidates: [u32; 2],
}

#[derive(Serialize)]
struct DroppedJson {
    arrived_micros: u64,
    draft_compute_micros: u64,
    draft_tokens: u32,
}

/// `event: finish`.
#[derive(Serialize)]
pub(super) struct FinishEvent {
    reason: &'static str,
    matched_stop: Option<String>,
    usage: UsageJson,
    method: Option<String>,
    method_reason: String,
    /// Text, since not every reader of JSON keeps 64 bits of a number.
    seed: String,
    request_id: String,
}

#[derive(Serialize)]
struct UsageJson {
    prompt_tokens: u32,
    cached_prompt_tokens: u32,
    completion_tokens: u32,
    committed_bytes: u64,
    target_forwards: u32,
    rounds: u32,
    proposed_tokens: u32,
    accepted_tokens: u32,
    rejected_tokens: u32,
    stale_blocks: u32,
    fallbacks: BTreeMap<&'static str, u32>,
    wire_sent_bytes: u64,
    wire_received_bytes: u64,
    prefill_micros: u64,
    decode_micros: u64,
    draft_wait_micros: u64,
    proposed_alternatives: u32,
    accepted_alternatives: u32,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl From<Chunk> for ChunkEvent {
    fn from(chunk: Chunk) -> Self {
        let pieces = chunk.pieces.into_iter().map(|piece| PieceJson {
            origin: match piece.origin {
                Origin::Accepted => "accepted",
                Origin::Correction => "correction",
                Origin::Bonus => "bonus",
                Origin::Plain => "plain",
            },
            text: piece.text,
        });
        Self {
            pieces: pieces.collect(),
            round: chunk.round.map(RoundJson::from),
        }
    }
}

impl From<RoundInfo> for RoundJson {
    fn from(info: RoundInfo) -> Self {
        Self {
            round: info.round,
            proposed_tokens: info.proposed_tokens,
            proposed_bytes: info.proposed_bytes,
            accepted_tokens: info.accepted_tokens,
            accepted_bytes: info.accepted_bytes,
            fallback: info.fallback.map(FallbackReason::name),
            proposer: info.proposer.map(Proposer::name),
            timings: info.timings.into(),
            detail: info.detail.map(|detail| (*detail).into()),
        }
    }
}

impl From<RoundTimings> for TimingsJson {
    fn from(timings: RoundTimings) -> Self {
        Self {
            draft_wait_micros: micros(timings.draft_wait),
            re_encode_micros: micros(timings.re_encode),
            align_micros: micros(timings.align),
            queue_micros: micros(timings.queue),
            verify_micros: micros(timings.verify),
            accept_micros: micros(timings.accept),
            draft_compute_micros: micros(timings.draft_compute),
        }
    }
}

impl From<RoundDetail> for DetailJson {
    fn from(detail: RoundDetail) -> Self {
        let mut end = [0, 0];
        let groups = detail.groups.into_iter().map(|group| {
            let start = end;
            end = [start[0] + group.draft_tokens, start[1] + group.candidates];
            GroupJson {
                draft: [start[0], end[0]],
                candidates: [start[1], end[1]],
            }
        });
        Self {
            clock: detail.clock.into(),
            groups: groups.collect(),
            draft_tokens: detail
                .draft_tokens
                .into_iter()
                .map(BytesJson::from)
                .collect(),
            draft_ends: detail.draft_ends,
            skipped_bytes: detail.skipped_bytes,
            candidates: detail.candidates.into_iter().map(TokenJson::from).collect(),
            chosen: detail.chosen.map(TokenJson::from),
            dropped: detail.dropped.into_iter().map(DroppedJson::from).collect(),
        }
    }
}

impl From<RoundClock> for ClockJson {
    fn from(clock: RoundClock) -> Self {
        Self {
            began_micros: micros(clock.began),
            block_arrived_micros: clock.block_arrived.map(micros),
            verify_began_micros: micros(clock.verify_began),
            verify_ended_micros: micros(clock.verify_ended),
            ended_micros: micros(clock.ended),
        }
    }
}

impl From<Vec<u8>> for BytesJson {
    fn from(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self { text, bytes: None },
            Err(error) => Self {
                text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                bytes: Some(error.into_bytes()),
            },
        }
    }
}

impl From<TargetToken> for TokenJson {
    fn from(token: TargetToken) -> Self {
        Self {
            id: token.id,
            spelled: token.text.into(),
            probability: token.probability,
        }
    }
}

impl From<DroppedBlock> for DroppedJson {
    fn from(block: DroppedBlock) -> Self {
        Self {
            arrived_micros: micros(block.arrived),
            draft_compute_micros: micros(block.draft_compute),
            draft_tokens: block.draft_tokens,
        }
    }
}

impl From<Finish> for FinishEvent {
    fn from(finish: Finish) -> Self {
        Self {
            reason: match finish.reason {
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::ContextFull => "context_full",
                FinishReason::Cancelled => "cancelled",
            },
            matched_stop: finish.matched_stop,
            usage: finish.usage.into(),
            method: finish.method,
            method_reason: finish.method_reason,
            seed: finish.seed.to_string(),
            request_id: finish.request_id,
        }
    }
}

impl From<Usage> for UsageJson {
    fn from(usage: Usage) -> Self {
        let fallbacks = usage.fallbacks.iter();
        Self {
            prompt_tokens: usage.prompt_tokens,
            cached_prompt_tokens: usage.cached_prompt_tokens,
            completion_tokens: usage.completion_tokens,
            committed_bytes: usage.committed_bytes,
            target_forwards: usage.target_forwards,
            rounds: usage.rounds,
            proposed_tokens: usage.proposed_tokens,
            accepted_tokens: usage.accepted_tokens,
            rejected_tokens: usage.rejected_tokens,
            stale_blocks: usage.stale_blocks,
            fallbacks: fallbacks
                .map(|(reason, rounds)| (reason.name(), *rounds))
                .collect(),
            wire_sent_bytes: usage.wire_sent_bytes,
            wire_received_bytes: usage.wire_received_bytes,
            prefill_micros: micros(usage.prefill),
            decode_micros: micros(usage.decode),
            draft_wait_micros: micros(usage.draft_wait),
            proposed_alternatives: usage.proposed_alternatives,
            accepted_alternatives: usage.accepted_alternatives,
        }
    }
}
