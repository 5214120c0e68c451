//! A round's block: the proposal, the proxies that it becomes, and which of its tokens belong to which of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alignment::{
    TargetToken, Vocabulary as _,
    acceptance::Method,
    aligned::Alignment,
    candidates::Candidates,
    dtw,
    reencode,
    reencode::Proxies,
    spans,
};
use pacing::goodput::{Outcome, alternatives::Tried};
use proto::{limits::MAX_ALTERNATIVES, verifier::FallbackReason};

use super::{
    drafting_peer::Proposal,
    evidence::{self, Evidence},
};
use crate::target::Target;

/// Proxies of all alternatives together: a draft token is seldom more than two of the target's.
const PROXIES_BESIDE: usize = 2 * MAX_ALTERNATIVES as usize;

/// What one round verifies; empty in a plain one.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) proposal: Proposal,
    pub(crate) candidates: Arc<Candidates>,
    /// The first proxy that each alternative has for itself, in the order of the proposal's.
    alternatives: Vec<Option<usize>>,
    /// What each proxy was drawn from; empty where the method need not know.
    pub(crate) evidence: Arc<[Evidence]>,
    /// Why there are no proxies.
    pub(crate) fallback: Option<FallbackReason>,
    /// Time that re-encoding took.
    pub(crate) took: Duration,
}

/// How many proxies a round may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// On each way.
    pub(crate) proxies: usize,
    /// Rows of the pass, the pending token's included.
    pub(crate) rows: usize,
}

/// Draft tokens and proxies of one way.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) token_ends: &'a [u32],
    pub(crate) proxies: Proxies,
}

impl Block {
    /// Makes at most `room` proxies of a proposal: the tokens that were drawn where the method judges by their law, else what
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
        let (proxies, evidence) = if method.needs_laws() {
            evidence::drawn_proxies(target, &proposal, method, room.proxies)?
        } else {
            let proxies = reencoded(target, committed, &proposal, room.proxies);
            let scalars = method.needs_scalars() && !proxies.tokens.is_empty();
            let evidence = if scalars {
                evidence::transferred(target, &proposal, &proxies)?
            } else {
                Vec::new()
            };
            (proxies, evidence)
        };
        let most = PROXIES_BESIDE.min(room.rows.saturating_sub(1 + proxies.tokens.len()));
        let mut candidates = Candidates::new(proxies);
        let alternatives = proposal.alternatives.iter().map(|way| {
            let proxies = reencode::proxies(target, committed, &way.text, room.proxies);
            candidates.add(&proxies, most)
        });
        let alternatives = alternatives.collect();
        let nothing = candidates.is_empty();
        Ok(Self {
            proposal,
            candidates: Arc::new(candidates),
            alternatives,
            evidence: evidence.into(),
            fallback: nothing.then_some(FallbackReason::NothingUsable),
            took: began.elapsed(),
        })
    }

    /// How much of what was drafted stands, if anything was, where the target took this path.
    pub(crate) fn outcome(&self, path: &[usize]) -> Option<Outcome> {
        let proxies = self.candidates.main();
        let kept_bytes = self
            .on_main(path)
            .checked_sub(1)
            .map_or(0, |last| proxies.ends[last]);
        let until = |bytes| {
            self.proposal
                .token_ends
                .partition_point(|end| *end <= bytes)
        };
        let drafted = until(proxies.covered_bytes() as u32);
        let skipped = self.proposal.drafted - self.proposal.token_ends.len();
        (drafted > 0).then(|| Outcome {
            skipped,
            drafted,
            stood: until(kept_bytes),
            proxies: proxies.tokens.len(),
        })
    }

    /// How many nodes of a path are on the main way.
    pub(crate) fn on_main(&self, path: &[usize]) -> usize {
        let main = self.candidates.main().tokens.len();
        path.partition_point(|node| *node < main)
    }

    /// What the alternatives brought where the target took this path.
    pub(crate) fn tried(&self, path: &[usize]) -> Tried {
        let brought = |first: &Option<usize>| {
            let from = path.iter().position(|node| Some(*node) == *first);
            from.map_or(0, |from| path.len() - from)
        };
        Tried {
            brought: self.alternatives.iter().map(brought).collect(),
            proxies: self.candidates.beside(),
        }
    }

    /// What was drafted on the way that the target took, or on the main one, and its proxies.
    pub(crate) fn taken(&self, target: &Target, path: &[usize]) -> Taken<'_> {
        let (proxies, _) = self.candidates.way(path);
        let tokens = proxies.tokens.iter().filter(|id| !target.is_end(id.0));
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
            proxies,
        }
    }

    /// Nothing, for this reason.
    pub(crate) fn plain(why: FallbackReason) -> Self {
        Self {
            proposal: Proposal::default(),
            candidates: Arc::default(),
            alternatives: Vec::new(),
            evidence: Arc::default(),
            fallback: Some(why),
            took: Duration::ZERO,
        }
    }

    /// Aligns draft tokens and proxies, by their bytes where both lists end at the same one, else by the likeness of their
    /// texts. For metrics only: no method of this release decides by it. Done while the pass is under way.
    pub(crate) fn align(&self, target: &Target) -> (Option<Alignment>, Duration) {
        let began = Instant::now();
        let proxies = self.candidates.main();
        let covered = proxies.covered_bytes() as u32;
        if covered == 0 {
            return (None, began.elapsed());
        }
        let ends = &self.proposal.token_ends;
        let within = ends.partition_point(|end| *end <= covered);
        let has_boundary = within > 0 && ends[within - 1] == covered;
        let aligned = if has_boundary {
            spans::align(&ends[..within], &proxies.ends).ok()
        } else {
            self.align_by_texts(target, &ends[..ends.len().min(within + 1)])
        };
        (aligned, began.elapsed())
    }

    fn align_by_texts(&self, target: &Target, draft_ends: &[u32]) -> Option<Alignment> {
        let starts = std::iter::once(0).chain(draft_ends.iter().copied());
        let text = |(start, end): (u32, &u32)| &self.proposal.text[start as usize..*end as usize];
        let draft: Vec<&[u8]> = starts.zip(draft_ends).map(text).collect();
        let proxies = self.candidates.main().tokens.iter();
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
