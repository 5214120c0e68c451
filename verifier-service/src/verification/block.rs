//! A round's block: the proposal, the proxies that it becomes, and which of its tokens belong to which of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alignment::{
    TargetToken, Vocabulary as _, acceptance::Method, aligned::Alignment, dtw, goodput::Outcome,
    reencode, reencode::Proxies, spans,
};
use proto::verifier::FallbackReason;

use super::{
    drafting_peer::Proposal,
    evidence::{self, Evidence},
};
use crate::target::Target;

/// What one round verifies; empty in a plain one.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) proposal: Proposal,
    pub(crate) proxies: Arc<Proxies>,
    /// What each proxy was drawn from; empty where the method need not know.
    pub(crate) evidence: Arc<[Evidence]>,
    /// Why there are no proxies.
    pub(crate) fallback: Option<FallbackReason>,
    /// Time that re-encoding took.
    pub(crate) took: Duration,
}

impl Block {
    /// Makes at most `room` proxies of a proposal: the tokens that were drawn where the method judges by their law, else what
    /// re-encoding makes of the bytes behind the `committed` tokens. The end of a reply crosses by its role. An error says
    /// what the drafter did wrong.
    pub(crate) fn new(
        target: &Target,
        committed: &[TargetToken],
        proposal: Result<Proposal, FallbackReason>,
        (method, room): (Method, usize),
    ) -> Result<Self, String> {
        let began = Instant::now();
        let proposal = match proposal {
            Ok(proposal) => proposal,
            Err(why) => return Ok(Self::plain(why)),
        };
        let (proxies, evidence) = if method.needs_laws() {
            evidence::drawn_proxies(target, &proposal, method, room)?
        } else {
            let proxies = reencoded(target, committed, &proposal, room);
            let scalars = method.needs_scalars() && !proxies.tokens.is_empty();
            let evidence = if scalars {
                evidence::transferred(target, &proposal, &proxies)?
            } else {
                Vec::new()
            };
            (proxies, evidence)
        };
        let nothing = proxies.tokens.is_empty();
        Ok(Self {
            proposal,
            proxies: Arc::new(proxies),
            evidence: evidence.into(),
            fallback: nothing.then_some(FallbackReason::NothingUsable),
            took: began.elapsed(),
        })
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

    /// Nothing, for this reason.
    pub(crate) fn plain(why: FallbackReason) -> Self {
        Self {
            proposal: Proposal::default(),
            proxies: Arc::default(),
            evidence: Arc::default(),
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

fn reencoded(
    target: &Target,
    committed: &[TargetToken],
    proposal: &Proposal,
    room: usize,
) -> Proxies {
    let mut proxies = reencode::proxies(target, committed, &proposal.text, room);
    let end = proposal.ends_with.and_then(|role| target.end_token(role));
    if let Some(end) = end {
        proxies.push_end(end, room);
    }
    proxies
}
