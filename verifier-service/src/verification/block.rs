//! A round's block: the proposal, the proxies that it becomes, and which of its tokens belong to which of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alignment::{
    TargetToken, Vocabulary as _, aligned::Alignment, dtw, goodput::Outcome, reencode,
    reencode::Proxies, spans,
};
use proto::verifier::FallbackReason;

use super::drafting_peer::Proposal;
use crate::target::Target;

/// What one round verifies; empty in a plain one.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) proposal: Proposal,
    pub(crate) proxies: Arc<Proxies>,
    /// Why there are no proxies.
    pub(crate) fallback: Option<FallbackReason>,
    /// Time that re-encoding took.
    pub(crate) took: Duration,
}

impl Block {
    /// Re-encodes a proposal as at most `room` proxies behind the `committed` tokens. The end of a reply crosses by its role.
    pub(crate) fn new(
        target: &Target,
        committed: &[TargetToken],
        proposal: Result<Proposal, FallbackReason>,
        room: usize,
    ) -> Self {
        let began = Instant::now();
        let proposal = match proposal {
            Ok(proposal) => proposal,
            Err(why) => return Self::plain(why),
        };
        let mut proxies = reencode::proxies(target, committed, &proposal.text, room);
        let end = proposal.ends_with.and_then(|role| target.end_token(role));
        if let Some(end) = end {
            proxies.push_end(end, room);
        }
        let nothing = proxies.tokens.is_empty();
        Self {
            proposal,
            proxies: Arc::new(proxies),
            fallback: nothing.then_some(FallbackReason::NothingUsable),
            took: began.elapsed(),
        }
    }

    /// How much of what was drafted stands, if anything was; the first `kept_bytes` do.
    pub(crate) fn outcome(&self, kept_bytes: u32) -> Option<Outcome> {
        let until = |bytes| {
            self.proposal
                .token_ends
                .partition_point(|end| *end <= bytes)
        };
        let drafted = until(self.proxies.covered_bytes() as u32);
        (drafted > 0).then(|| Outcome {
            drafted,
            stood: until(kept_bytes),
            proxies: self.proxies.tokens.len(),
        })
    }

    fn plain(why: FallbackReason) -> Self {
        Self {
            proposal: Proposal::default(),
            proxies: Arc::default(),
            fallback: Some(why),
            took: Duration::ZERO,
        }
    }

    /// Aligns draft tokens and proxies, by their bytes where both lists end at the same one, else by the likeness of their
    /// texts. For metrics only: no method of this release decides by it. Done while the pass is under way.
    pub(crate) fn align(&self, target: &Target) -> (Option<Alignment>, Duration) {
        let began = Instant::now();
        let covered = self.proxies.covered_bytes() as u32;
        if covered == 0 {
            return (None, began.elapsed());
        }
        let ends = &self.proposal.token_ends;
        let within = ends.partition_point(|end| *end <= covered);
        let has_boundary = within > 0 && ends[within - 1] == covered;
        let aligned = if has_boundary {
            spans::align(&ends[..within], &self.proxies.ends).ok()
        } else {
            self.align_by_texts(target, &ends[..ends.len().min(within + 1)])
        };
        (aligned, began.elapsed())
    }

    fn align_by_texts(&self, target: &Target, draft_ends: &[u32]) -> Option<Alignment> {
        let starts = std::iter::once(0).chain(draft_ends.iter().copied());
        let text = |(start, end): (u32, &u32)| &self.proposal.text[start as usize..*end as usize];
        let draft: Vec<&[u8]> = starts.zip(draft_ends).map(text).collect();
        let proxies = self.proxies.tokens.iter();
        let proxies: Vec<&[u8]> = proxies.map(|token| target.token_bytes(token.0)).collect();
        dtw::align(&draft, &proxies, &dtw::Options::default()).ok()
    }
}
