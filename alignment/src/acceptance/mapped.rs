//! A block of draft tokens as a [`TokenMap`] spells it: the candidates of the methods that use the draft's
//! distribution. Not re-encoded as a whole, because the distribution of each candidate must follow from the draft's distribution alone.

use std::fmt;

use super::TokenMap;
use crate::reencode::Candidates;
use crate::{TargetToken, Vocabulary};

/// Candidates, and where each comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappedBlock {
    /// The tokens to verify, with their ends in bytes from the start of the draft.
    pub candidates: Candidates,
    /// The origin of each candidate.
    pub origins: Vec<Origin>,
}

/// The draft token that a candidate is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its place in the block, which is the place of its distribution too.
    pub index: usize,
    /// Its id.
    pub id: u32,
    /// Number of its target tokens before the candidate.
    pub part: usize,
}

/// A draft token was proposed that the map cannot spell: a broken contract of the drafter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmappedToken {
    /// Its place in the block.
    pub index: usize,
    /// Its id.
    pub id: u32,
}

impl MappedBlock {
    /// The block of these draft tokens as at most `max_tokens` candidates, whose bytes `target` knows. It
    /// may end inside a draft token. O(candidates of the whole block).
    pub fn new(
        map: &TokenMap,
        draft: &[u32],
        target: &impl Vocabulary,
        max_tokens: usize,
    ) -> Result<Self, UnmappedToken> {
        let mut block = Self::default();
        let mut end = 0;
        for (index, &id) in draft.iter().enumerate() {
            let path = map.targets(id);
            if path.is_empty() {
                return Err(UnmappedToken { index, id });
            }
            for (part, candidate) in path.iter().enumerate() {
                end += target.token_bytes(*candidate).len();
                if block.origins.len() < max_tokens {
                    block.origins.push(Origin { index, id, part });
                    block.candidates.tokens.push(TargetToken(*candidate));
                    block.candidates.ends.push(end as u32);
                }
            }
        }
        block.candidates.dropped_bytes = end - block.candidates.covered_bytes();
        Ok(block)
    }
}

impl Origin {
    /// The target tokens of the draft token that come before the candidate: what
    /// [`super::conditional`] takes as already emitted.
    pub fn prefix(self, map: &TokenMap) -> &[u32] {
        map.targets(self.id).get(..self.part).unwrap_or_default()
    }
}

impl fmt::Display for UnmappedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, id } = self;
        write!(
            f,
            "draft token {id}, number {index} of the block, has no target tokens"
        )
    }
}

impl std::error::Error for UnmappedToken {}
