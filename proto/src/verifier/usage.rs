//! Usage of a reply. The same counts go into metrics and logs.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{ProtocolError, check, wire::verifier::v1 as wire};

/// Usage of a reply.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Tokens of the prompt, template included.
    pub prompt_tokens: u32,
    /// Of those, the ones that were not computed, since an earlier text began alike.
    pub cached_prompt_tokens: u32,
    /// Tokens of the reply, the ending control token not counted.
    pub completion_tokens: u32,
    /// Bytes of the reply as sent.
    pub committed_bytes: u64,
    /// Forward passes of the target after the prompt's.
    pub target_forwards: u32,
    /// Rounds, plain ones included.
    pub rounds: u32,
    /// Candidate tokens verified: accepted and rejected ones.
    pub proposed_tokens: u32,
    /// Candidate tokens that are part of the reply.
    pub accepted_tokens: u32,
    /// Candidate tokens that are not.
    pub rejected_tokens: u32,
    /// Blocks dropped because they continued another text.
    pub stale_blocks: u32,
    /// Rounds without a proposal, by reason.
    pub fallbacks: BTreeMap<FallbackReason, u32>,
    /// Bytes of messages sent to drafters.
    pub wire_sent_bytes: u64,
    /// Bytes of messages received from drafters.
    pub wire_received_bytes: u64,
    /// From admission to the end of the prompt's forward pass.
    pub prefill: Duration,
    /// From there to the end.
    pub decode: Duration,
    /// Of that, spent waiting for blocks.
    pub draft_wait: Duration,
    /// Of `proposed_tokens`, those of alternatives to what the draft goes on with.
    pub proposed_alternatives: u32,
    /// Of `accepted_tokens`, those of alternatives.
    pub accepted_alternatives: u32,
}

/// Why a round was decoded without a proposal. Displayed as in metrics: `no_drafter`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FallbackReason {
    /// The request turned speculation off.
    Off,
    /// No drafter is configured or can be reached.
    NoDrafter,
    /// The drafter is left alone after failures.
    BreakerOpen,
    /// The stream is being opened.
    Opening,
    /// The block had not come by the deadline.
    Late,
    /// The block continued another text.
    Stale,
    /// The stream broke.
    Disconnected,
    /// The drafter broke the protocol.
    Protocol,
    /// The drafter refused or failed.
    Failed,
    /// Drafting would not have paid, or a block is only tried out.
    Paused,
    /// The block gave no candidate.
    NothingUsable,
    /// One token was left to generate.
    LastToken,
}

impl FallbackReason {
    /// Every reason, in order.
    pub const ALL: [Self; 12] = [
        Self::Off,
        Self::NoDrafter,
        Self::BreakerOpen,
        Self::Opening,
        Self::Late,
        Self::Stale,
        Self::Disconnected,
        Self::Protocol,
        Self::Failed,
        Self::Paused,
        Self::NothingUsable,
        Self::LastToken,
    ];

    /// Name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoDrafter => "no_drafter",
            Self::BreakerOpen => "breaker_open",
            Self::Opening => "opening",
            Self::Late => "late",
            Self::Stale => "stale",
            Self::Disconnected => "disconnected",
            Self::Protocol => "protocol",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::NothingUsable => "nothing_usable",
            Self::LastToken => "last_token",
        }
    }

    pub(super) fn from_wire(field: &str, value: i32) -> Result<Option<Self>, ProtocolError> {
        Ok(match check::known(field, value)? {
            wire::FallbackReason::Unspecified => None,
            wire::FallbackReason::Off => Some(Self::Off),
            wire::FallbackReason::NoDrafter => Some(Self::NoDrafter),
            wire::FallbackReason::BreakerOpen => Some(Self::BreakerOpen),
            wire::FallbackReason::Opening => Some(Self::Opening),
            wire::FallbackReason::Late => Some(Self::Late),
            wire::FallbackReason::Stale => Some(Self::Stale),
            wire::FallbackReason::Disconnected => Some(Self::Disconnected),
            wire::FallbackReason::Protocol => Some(Self::Protocol),
            wire::FallbackReason::Failed => Some(Self::Failed),
            wire::FallbackReason::Paused => Some(Self::Paused),
            wire::FallbackReason::NothingUsable => Some(Self::NothingUsable),
            wire::FallbackReason::LastToken => Some(Self::LastToken),
        })
    }

    pub(super) fn to_wire(reason: Option<Self>) -> wire::FallbackReason {
        match reason {
            None => wire::FallbackReason::Unspecified,
            Some(Self::Off) => wire::FallbackReason::Off,
            Some(Self::NoDrafter) => wire::FallbackReason::NoDrafter,
            Some(Self::BreakerOpen) => wire::FallbackReason::BreakerOpen,
            Some(Self::Opening) => wire::FallbackReason::Opening,
            Some(Self::Late) => wire::FallbackReason::Late,
            Some(Self::Stale) => wire::FallbackReason::Stale,
            Some(Self::Disconnected) => wire::FallbackReason::Disconnected,
            Some(Self::Protocol) => wire::FallbackReason::Protocol,
            Some(Self::Failed) => wire::FallbackReason::Failed,
            Some(Self::Paused) => wire::FallbackReason::Paused,
            Some(Self::NothingUsable) => wire::FallbackReason::NothingUsable,
            Some(Self::LastToken) => wire::FallbackReason::LastToken,
        }
    }
}

impl fmt::Display for FallbackReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<wire::Usage> for Usage {
    type Error = ProtocolError;

    fn try_from(usage: wire::Usage) -> Result<Self, ProtocolError> {
        let proposed = usage.proposed_tokens;
        let sum = usage.accepted_tokens.checked_add(usage.rejected_tokens);
        if sum != Some(proposed) {
            let expected = "accepted_tokens + rejected_tokens";
            return Err(ProtocolError::invalid(
                "proposed_tokens",
                proposed.to_string(),
                expected,
            ));
        }
        let of_alternatives = |field, count, all| check::within(field, count, 0..=all);
        Ok(Self {
            prompt_tokens: usage.prompt_tokens,
            cached_prompt_tokens: check::within(
                "cached_prompt_tokens",
                usage.cached_prompt_tokens,
                0..=usage.prompt_tokens,
            )?,
            completion_tokens: usage.completion_tokens,
            committed_bytes: usage.committed_bytes,
            target_forwards: usage.target_forwards,
            rounds: usage.rounds,
            proposed_tokens: proposed,
            accepted_tokens: usage.accepted_tokens,
            rejected_tokens: usage.rejected_tokens,
            stale_blocks: usage.stale_blocks,
            fallbacks: fallbacks(&usage.fallbacks)?,
            wire_sent_bytes: usage.wire_sent_bytes,
            wire_received_bytes: usage.wire_received_bytes,
            prefill: Duration::from_micros(usage.prefill_micros),
            decode: Duration::from_micros(usage.decode_micros),
            draft_wait: Duration::from_micros(usage.draft_wait_micros),
            proposed_alternatives: of_alternatives(
                "proposed_alternatives",
                usage.proposed_alternatives,
                proposed,
            )?,
            accepted_alternatives: of_alternatives(
                "accepted_alternatives",
                usage.accepted_alternatives,
                usage.accepted_tokens.min(usage.proposed_alternatives),
            )?,
        })
    }
}

fn fallbacks(
    counts: &[wire::FallbackCount],
) -> Result<BTreeMap<FallbackReason, u32>, ProtocolError> {
    let field = "fallbacks.reason";
    let mut fallbacks = BTreeMap::new();
    for count in counts {
        let reason = FallbackReason::from_wire(field, count.reason)?
            .ok_or_else(|| check::unspecified(field, count.reason))?;
        let rounds = check::within("fallbacks.rounds", count.rounds, 1..=u32::MAX)?;
        if fallbacks.insert(reason, rounds).is_some() {
            return Err(ProtocolError::invalid(
                field,
                format!("{reason} twice"),
                "named once",
            ));
        }
    }
    Ok(fallbacks)
}

impl From<Usage> for wire::Usage {
    fn from(usage: Usage) -> Self {
        let fallbacks = usage
            .fallbacks
            .into_iter()
            .filter(|&(_, rounds)| rounds > 0);
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
                .map(|(reason, rounds)| wire::FallbackCount {
                    reason: FallbackReason::to_wire(Some(reason)).into(),
                    rounds,
                })
                .collect(),
            wire_sent_bytes: usage.wire_sent_bytes,
            wire_received_bytes: usage.wire_received_bytes,
            prefill_micros: check::micros(usage.prefill),
            decode_micros: check::micros(usage.decode),
            draft_wait_micros: check::micros(usage.draft_wait),
            proposed_alternatives: usage.proposed_alternatives,
            accepted_alternatives: usage.accepted_alternatives,
        }
    }
}
