//! A round's block: the proposal, its candidates, and their alignment with draft tokens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alignment::{
    TargetToken, Vocabulary as _, acceptance::Method, aligned::Alignment,
    candidate_tree::CandidateTree, dtw, reencode, reencode::Candidates, spans,
};
use pacing::BlockFate;
use proto::{
    limits::MAX_ALTERNATIVES,
    verifier::{FallbackReason, Proposer},
};

use super::{
    drawn_distributions::{self, CandidateSource},
    proposal::Proposal,
};
use crate::target::Target;

/// Most candidates of all alternatives together. A draft token is seldom more than two of them.
const ALTERNATIVE_CANDIDATES: usize = 2 * MAX_ALTERNATIVES as usize;

/// Proposal of one round and its candidates; empty in a plain round.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) proposal: Proposal,
    pub(crate) tree: Arc<CandidateTree>,
    /// Distribution or probability of each candidate; empty where the method needs none.
    pub(crate) sources: Arc<[CandidateSource]>,
    /// Source of the proposal; `None` in a plain round.
    pub(crate) proposer: Option<Proposer>,
    /// Reason for a round without candidates; `None` if there are some.
    pub(crate) fallback: Option<FallbackReason>,
    /// True if the grammar forbids what the drafter proposed after the chain.
    is_cut: bool,
    /// Time that re-encoding took.
    pub(crate) took: Duration,
}

/// Limits on a round's candidates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Candidates of each path.
    pub(crate) candidates: usize,
    /// Rows of the pass, including the pending token's.
    pub(crate) rows: usize,
}

/// Draft tokens and candidates of one path.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) token_ends: &'a [u32],
    pub(crate) candidates: Candidates,
}

impl Block {
    /// Block with at most `room` candidates: the drawn tokens where the method needs distributions,
    /// else the bytes re-encoded after the `committed` tokens. A proposed end is mapped by its
    /// role. An error names the drafter's fault.
    pub(crate) fn new(
        target: &Target,
        committed: &[TargetToken],
        proposal: Result<Proposal, FallbackReason>,
        (method, room): (Method, Room),
        mut admits: impl FnMut(&[TargetToken]) -> usize,
    ) -> Result<Self, String> {
        let began = Instant::now();
        let proposal = match proposal {
            Ok(proposal) => proposal,
            Err(why) => return Ok(Self::plain(why)),
        };
        let (mut candidates, mut sources) = if method.needs_distributions() {
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
        let drawn = candidates.tokens.len();
        // What the grammar forbids would be rejected. Where tokens were drawn, it has to be: the target then draws from what the
        // drafter left out.
        if !method.needs_distributions() {
            candidates.truncate(admits(&candidates.tokens));
            sources.truncate(candidates.tokens.len());
        }
        let is_cut = candidates.tokens.len() < drawn;
        let most =
            ALTERNATIVE_CANDIDATES.min(room.rows.saturating_sub(1 + candidates.tokens.len()));
        let mut tree = CandidateTree::new(candidates);
        for way in &proposal.alternatives {
            let mut candidates =
                reencode::candidates(target, committed, &way.text, room.candidates);
            candidates.truncate(admits(&candidates.tokens));
            tree.add(&candidates, most);
        }
        let nothing = tree.is_empty();
        // A look-up runs no model.
        let is_lookup = proposal.timings.passes == 0 && proposal.timings.compute.is_zero();
        let proposer = if is_lookup {
            Proposer::Lookup
        } else {
            Proposer::Model
        };
        Ok(Self {
            proposer: (!nothing).then_some(proposer),
            proposal,
            tree: Arc::new(tree),
            sources: sources.into(),
            fallback: nothing.then_some(FallbackReason::NothingUsable),
            is_cut,
            took: began.elapsed(),
        })
    }

    /// Fate of the block if the target took `path`; `None` if no draft token was verified.
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
        let covered = until(candidates.covered_bytes() as u32);
        // The draft token that the grammar forbids is as good as rejected.
        let forbidden = usize::from(self.is_cut && covered < self.proposal.token_ends.len());
        let verified = covered + forbidden;
        // Draft tokens committed before the block was used count as accepted.
        let skipped = self.proposal.drafted - self.proposal.token_ends.len();
        (verified > 0).then(|| BlockFate::Judged {
            drafted: skipped + verified,
            accepted: skipped + until(kept_bytes),
            candidates_per_token: (covered > 0)
                .then(|| candidates.tokens.len() as f64 / covered as f64),
            compute: self.proposal.timings.compute_of(self.proposal.drafted),
            latency: self.proposal.latency,
        })
    }

    /// Number of a path's nodes that are on the chain.
    pub(crate) fn on_chain(&self, path: &[usize]) -> usize {
        let main = self.tree.chain().tokens.len();
        path.partition_point(|node| *node < main)
    }

    /// Draft tokens and candidates of the path that the target took, followed to its leaf.
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

    /// Block without candidates, for this reason.
    pub(crate) fn plain(why: FallbackReason) -> Self {
        Self {
            proposal: Proposal::default(),
            tree: Arc::default(),
            sources: Arc::default(),
            proposer: None,
            fallback: Some(why),
            is_cut: false,
            took: Duration::ZERO,
        }
    }

    /// Block of the verifier's own: `candidates` that this source proposes after the committed text.
    /// It has been prepared since `began`.
    pub(crate) fn own(
        target: &Target,
        candidates: Candidates,
        proposer: Proposer,
        began: Instant,
    ) -> Self {
        let text = candidates.tokens.iter();
        let text: Vec<u8> = text
            .flat_map(|token| target.token_bytes(token.0))
            .copied()
            .collect();
        let proposal = Proposal {
            drafted: candidates.tokens.len(),
            token_ends: candidates.ends.clone(),
            text,
            ..Proposal::default()
        };
        Self {
            proposal,
            tree: Arc::new(CandidateTree::new(candidates)),
            sources: Arc::default(),
            proposer: Some(proposer),
            fallback: None,
            is_cut: false,
            took: began.elapsed(),
        }
    }

    /// True if a drafter proposed it, or should have.
    pub(crate) fn is_drafters(&self) -> bool {
        !matches!(
            self.proposer,
            Some(Proposer::Prediction | Proposer::Grammar)
        )
    }

    /// Aligns draft tokens and candidates: by bytes where both end at the same byte, else by DTW
    /// over their texts. For metrics only, so it runs while the pass is under way.
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
