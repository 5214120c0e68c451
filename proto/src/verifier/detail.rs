//! A round token by token: what was drafted, what it became, what the target thought of it, and when.

use std::{ops::RangeInclusive, time::Duration};

use crate::{ProtocolError, check, limits, wire::verifier::v1 as wire};

const PROBABILITY: RangeInclusive<f32> = 0.0..=1.0;

/// A round token by token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundDetail {
    /// When things happened.
    pub clock: RoundClock,
    /// Bytes of each draft token of the block.
    pub draft_tokens: Vec<Vec<u8>>,
    /// True if the drafter proposed to end the reply after them.
    pub draft_ends: bool,
    /// Bytes at the beginning of the block that the reply had already.
    pub skipped_bytes: u32,
    /// Target tokens that spell the draft's bytes; those accepted first.
    pub candidates: Vec<TargetToken>,
    /// Which draft tokens belong to which candidates; empty where there is nothing to align, or no way to.
    pub groups: Vec<AlignedGroup>,
    /// The target's own token after the accepted candidates; `None`: the last of those ended the reply.
    pub chosen: Option<TargetToken>,
    /// Blocks that were dropped.
    pub dropped: Vec<DroppedBlock>,
}

/// When a round's parts happened, since the request was admitted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RoundClock {
    /// The round began.
    pub began: Duration,
    /// Its block had arrived, perhaps before the round began; `None`: no block was used.
    pub block_arrived: Option<Duration>,
    /// The forward pass began.
    pub verify_began: Duration,
    /// The forward pass ended.
    pub verify_ended: Duration,
    /// Accepted tokens were committed.
    pub ended: Duration,
}

/// A token of the target's vocabulary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetToken {
    /// Its id.
    pub id: u32,
    /// Its bytes; none of a control token.
    pub text: Vec<u8>,
    /// The softmax of the model's own logits, 0 to 1.
    pub probability: f32,
}

/// Draft tokens and candidates that spell the same bytes; at least one of either.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AlignedGroup {
    /// Draft tokens of the group.
    pub draft_tokens: u32,
    /// Candidates of the group.
    pub candidates: u32,
}

/// A block that was drafted in vain.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DroppedBlock {
    /// When it had arrived, since the request was admitted.
    pub arrived: Duration,
    /// The drafter's forward passes for it, on its clock.
    pub draft_compute: Duration,
    /// Draft tokens of it.
    pub draft_tokens: u32,
}

impl RoundDetail {
    /// Checked against the numbers of candidates proposed and accepted. Candidates of paths that were not taken are left out.
    pub(super) fn from_wire(
        detail: wire::RoundDetail,
        (proposed, accepted): (u32, u32),
    ) -> Result<Self, ProtocolError> {
        let clock = check::required("clock", detail.clock, "present")?;
        let drafted = detail.draft_tokens.len();
        let most = limits::MAX_BLOCK_TOKENS as usize;
        check::size("draft_tokens", drafted, 0..=most, "tokens")?;
        let bytes = detail.draft_tokens.iter().map(Vec::len).sum();
        let most = limits::MAX_BLOCK_BYTES as usize;
        check::size("draft_tokens", bytes, 0..=most, "bytes")?;
        check::within("skipped_bytes", detail.skipped_bytes, 0..=most as u32)?;
        let candidates = detail.candidates.len();
        let range = accepted as usize..=proposed as usize;
        check::size("candidates", candidates, range, "tokens")?;
        let most = limits::MAX_DROPPED_BLOCKS;
        check::size("dropped", detail.dropped.len(), 0..=most, "blocks")?;
        let of_candidates = detail.candidates.into_iter().map(TargetToken::try_from);
        let chosen = detail.chosen.map(TargetToken::try_from).transpose();
        let dropped = detail.dropped.into_iter().map(DroppedBlock::try_from);
        Ok(Self {
            clock: RoundClock::try_from(clock).map_err(|e| e.within("clock"))?,
            groups: groups(&detail.groups, drafted, candidates)?,
            draft_tokens: detail.draft_tokens,
            draft_ends: detail.draft_ends,
            skipped_bytes: detail.skipped_bytes,
            candidates: of_candidates
                .collect::<Result<_, _>>()
                .map_err(|e| e.within("candidates"))?,
            chosen: chosen.map_err(|e| e.within("chosen"))?,
            dropped: dropped
                .collect::<Result<_, _>>()
                .map_err(|e| e.within("dropped"))?,
        })
    }
}

/// Groups that cover all candidates and no more draft tokens than there are, or none.
fn groups(
    groups: &[wire::AlignedGroup],
    drafted: usize,
    candidates: usize,
) -> Result<Vec<AlignedGroup>, ProtocolError> {
    let mut covered = (0, 0);
    let mut checked = Vec::with_capacity(groups.len().min(candidates));
    for group in groups {
        check::within("groups.draft_tokens", group.draft_tokens, 1..=u32::MAX)?;
        check::within("groups.candidates", group.candidates, 1..=u32::MAX)?;
        covered.0 += group.draft_tokens as usize;
        covered.1 += group.candidates as usize;
        check::size("groups.draft_tokens", covered.0, 0..=drafted, "tokens")?;
        check::size("groups.candidates", covered.1, 0..=candidates, "tokens")?;
        checked.push(AlignedGroup {
            draft_tokens: group.draft_tokens,
            candidates: group.candidates,
        });
    }
    if !groups.is_empty() {
        check::size(
            "groups.candidates",
            covered.1,
            candidates..=candidates,
            "tokens",
        )?;
    }
    Ok(checked)
}

impl From<RoundDetail> for wire::RoundDetail {
    fn from(detail: RoundDetail) -> Self {
        let group = |group: AlignedGroup| wire::AlignedGroup {
            draft_tokens: group.draft_tokens,
            candidates: group.candidates,
        };
        let candidates = detail.candidates.into_iter();
        let dropped = detail.dropped.into_iter();
        Self {
            clock: Some(detail.clock.into()),
            draft_tokens: detail.draft_tokens,
            draft_ends: detail.draft_ends,
            skipped_bytes: detail.skipped_bytes,
            candidates: candidates.map(wire::TargetToken::from).collect(),
            groups: detail.groups.into_iter().map(group).collect(),
            chosen: detail.chosen.map(wire::TargetToken::from),
            dropped: dropped.map(wire::DroppedBlock::from).collect(),
        }
    }
}

impl TryFrom<wire::RoundClock> for RoundClock {
    type Error = ProtocolError;

    fn try_from(clock: wire::RoundClock) -> Result<Self, ProtocolError> {
        let (began, ended) = (clock.began_micros, clock.ended_micros);
        let verify = (clock.verify_began_micros, clock.verify_ended_micros);
        check::within("verify_began_micros", verify.0, began..=u64::MAX)?;
        check::within("verify_ended_micros", verify.1, verify.0..=u64::MAX)?;
        check::within("ended_micros", ended, verify.1..=u64::MAX)?;
        if let Some(arrived) = clock.block_arrived_micros {
            check::within("block_arrived_micros", arrived, 0..=verify.0)?;
        }
        Ok(Self {
            began: Duration::from_micros(began),
            block_arrived: clock.block_arrived_micros.map(Duration::from_micros),
            verify_began: Duration::from_micros(verify.0),
            verify_ended: Duration::from_micros(verify.1),
            ended: Duration::from_micros(ended),
        })
    }
}

impl From<RoundClock> for wire::RoundClock {
    fn from(clock: RoundClock) -> Self {
        Self {
            began_micros: check::micros(clock.began),
            block_arrived_micros: clock.block_arrived.map(check::micros),
            verify_began_micros: check::micros(clock.verify_began),
            verify_ended_micros: check::micros(clock.verify_ended),
            ended_micros: check::micros(clock.ended),
        }
    }
}

impl TryFrom<wire::TargetToken> for TargetToken {
    type Error = ProtocolError;

    fn try_from(token: wire::TargetToken) -> Result<Self, ProtocolError> {
        Ok(Self {
            id: token.id,
            text: token.text,
            probability: check::within("probability", token.probability, PROBABILITY)?,
        })
    }
}

impl From<TargetToken> for wire::TargetToken {
    fn from(token: TargetToken) -> Self {
        Self {
            id: token.id,
            text: token.text,
            probability: token.probability,
        }
    }
}

impl TryFrom<wire::DroppedBlock> for DroppedBlock {
    type Error = ProtocolError;

    fn try_from(block: wire::DroppedBlock) -> Result<Self, ProtocolError> {
        let most = limits::MAX_BLOCK_TOKENS;
        Ok(Self {
            arrived: Duration::from_micros(block.arrived_micros),
            draft_compute: Duration::from_micros(block.draft_compute_micros),
            draft_tokens: check::within("draft_tokens", block.draft_tokens, 0..=most)?,
        })
    }
}

impl From<DroppedBlock> for wire::DroppedBlock {
    fn from(block: DroppedBlock) -> Self {
        Self {
            arrived_micros: check::micros(block.arrived),
            draft_compute_micros: check::micros(block.draft_compute),
            draft_tokens: block.draft_tokens,
        }
    }
}
