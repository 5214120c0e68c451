//! A round's block: the proposal, the candidates that it becomes, and which of its tokens belong to which of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alignment::{
    TargetToken, Vocabulary as _, acceptance::Method, aligned::Alignment,
    candidate_tree::CandidateTree, dtw, reencode, reencode::Candidates, spans,
};
use pacing::BlockFate;
use proto::{limits::MAX_ALTERNATIVES, verifier::FallbackReason};

use super::{
    drawn_distributions::{self, CandidateSource},
    proposal::Proposal,
};
use crate::target::Target;

/// Candidates of all alternatives together: a draft token is seldom more than two of the target's.
const ALTERNATIVE_CANDIDATES: usize = 2 * MAX_ALTERNATIVES as usize;

/// What one round verifies; empty in a plain one.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) proposal: Proposal,
    pub(crate) tree: Arc<CandidateTree>,
    /// What each candidate was drawn from; empty where the method need not know.
    pub(crate) sources: Arc<[CandidateSource]>,
    /// Why there are no candidates.
    pub(crate) fallback: Option<FallbackReason>,
    /// Time that re-encoding took.
    pub(crate) took: Duration,
}

/// How many candidates a round may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// On each way.
    pub(crate) candidates: usize,
    /// Rows of the pass, the pending token's included.
    pub(crate) rows: usize,
}

/// Draft tokens and candidates of one way.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) token_ends: &'a [u32],
    pub(crate) candidates: Candidates,
}

impl Block {
    /// Makes at most `room` candidates of a proposal: the tokens that were drawn where the method judges by their distribution, else what
    /// re-encoding makes of the bytes behind the `committed` tokens. The end of a reply crosses by its role. Alternatives have
    /// ways of the same length. An error says what the drafter did wrong.
    pub(crate) fn new(
        target: &Target,
        committed: &[TargetToken],
        proposal: Result<Proposal, FallbackReason>,
        (method, room): (Method, Room),
    ) -> Result<Self, String> {
        let began = Instant::now();
        let proposal = match proposal {
            Ok(proposal) => proposal,
            Err(why) => return Ok(Self::plain(why)),
        };
        let (candidates, sources) = if method.needs_distributions() {
            drawn_distributions::drawn_candidates(target, &proposal, method, room.candidates)?
        } else {
            let candidates = reencoded(target, committed, &proposal, room.candidates);
            let scalars = method.needs_scalars() && !candidates.tokens.is_empty();
            let sources = if scalars {
                drawn_distributions::transferred(target, &proposal, &candidates)?
            } else {
                Vec::new()
            };
            (candidates, sources)
        };
        let most =
            ALTERNATIVE_CANDIDATES.min(room.rows.saturating_sub(1 + candidates.tokens.len()));
        let mut tree = CandidateTree::new(candidates);
        for way in &proposal.alternatives {
            let candidates = reencode::candidates(target, committed, &way.text, room.candidates);
            tree.add(&candidates, most);
        }
        let nothing = tree.is_empty();
        Ok(Self {
            proposal,
            tree: Arc::new(tree),
            sources: sources.into(),
            fallback: nothing.then_some(FallbackReason::NothingUsable),
            took: began.elapsed(),
        })
    }

    /// Fate of the block where the target took this path, if any of it was verified.
    pub(crate) fn fate(&self, path: &[usize]) -> Option<BlockFate> {
        let candidates = self.tree.chain();
        let kept_bytes = self
            .on_chain(path)
            .checked_sub(1)
            .map_or(0, |last| candidates.ends[last]);
        let until = |bytes| {
            self.proposal
                .token_ends
                .partition_point(|end| *end <= bytes)
        };
        let verified = until(candidates.covered_bytes() as u32);
        // Tokens that the target had said before the block arrived are accepted ones.
        let skipped = self.proposal.drafted - self.proposal.token_ends.len();
        (verified > 0).then(|| BlockFate::Judged {
            drafted: skipped + verified,
            accepted: skipped + until(kept_bytes),
            candidates_per_token: Some(candidates.tokens.len() as f64 / verified as f64),
            compute: self.proposal.timings.compute_of(self.proposal.drafted),
            latency: self.proposal.latency,
        })
    }

    /// How many nodes of a path are on the main way.
    pub(crate) fn on_chain(&self, path: &[usize]) -> usize {
        let main = self.tree.chain().tokens.len();
        path.partition_point(|node| *node < main)
    }

    /// What was drafted on the way that the target took, or on the main one, and its candidates.
    pub(crate) fn taken(&self, target: &Target, path: &[usize]) -> Taken<'_> {
        let (candidates, _) = self.tree.way(path);
        let tokens = candidates.tokens.iter().filter(|id| !target.is_end(id.0));
        let spelled = tokens.flat_map(|id| target.token_bytes(id.0));
        let spelled: Vec<u8> = spelled.copied().collect();
        let mut ways = self.proposal.alternatives.iter();
        let main = &self.proposal;
        let alternative = if main.text.starts_with(&spelled) {
            None
        } else {
            ways.find(|way| way.text.starts_with(&spelled))
        };
        let (text, token_ends) = alternative.map_or((&main.text, &main.token_ends), |way| {
            (&way.text, &way.token_ends)
        });
        Taken {
            text,
            token_ends,
            candidates,
        }
    }

    /// Nothing, for this reason.
    pub(crate) fn plain(why: FallbackReason) -> Self {
        Self {
            proposal: Proposal::default(),
            tree: Arc::default(),
            sources: Arc::default(),
            fallback: Some(why),
            took: Duration::ZERO,
        }
    }

    /// Aligns draft tokens and candidates, by their bytes where both lists end at the same one, else by the likeness of their
    /// texts. For metrics only: no method of this release decides by it. Done while the pass is under way.
    pub(crate) fn align(&self, target: &Target) -> (Option<Alignment>, Duration) {
        let began = Instant::now();
        let candidates = self.tree.chain();
        let covered = candidates.covered_bytes() as u32;
        if covered == 0 {
            return (None, began.elapsed());
        }
        let ends = &self.proposal.token_ends;
        let within = ends.partition_point(|end| *end <= covered);
        let has_boundary = within > 0 && ends[within - 1] == covered;
        let aligned = if has_boundary {
            spans::align(&ends[..within], &candidates.ends).ok()
        } else {
            self.align_by_texts(target, &ends[..ends.len().min(within + 1)])
        };
        (aligned, began.elapsed())
    }

    fn align_by_texts(&self, target: &Target, draft_ends: &[u32]) -> Option<Alignment> {
        let starts = std::iter::once(0).chain(draft_ends.iter().copied());
        let text = |(start, end): (u32, &u32)| &self.proposal.text[start as usize..*end as usize];
        let draft: Vec<&[u8]> = starts.zip(draft_ends).map(text).collect();
        let candidates = self.tree.chain().tokens.iter();
        let candidates: Vec<&[u8]> = candidates
            .map(|token| target.token_bytes(token.0))
            .collect();
        dtw::align(&draft, &candidates, &dtw::Options::default()).ok()
    }
}

fn reencoded(
    target: &Target,
    committed: &[TargetToken],
    proposal: &Proposal,
    room: usize,
) -> Candidates {
    let mut candidates = reencode::candidates(target, committed, &proposal.text, room);
    let end = proposal.ends_with.and_then(|role| target.end_token(role));
    if let Some(end) = end {
        candidates.push_end(end, room);
    }
    candidates
}
