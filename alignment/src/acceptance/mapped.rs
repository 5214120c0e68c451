//! A block of draft tokens as a [`TokenMap`] spells it: the proxies of the methods that use the draft's
//! law. Not re-encoded as a whole, because the law of each proxy must follow from the draft's law alone.

use std::fmt;

use super::TokenMap;
use crate::reencode::Proxies;
use crate::{TargetToken, Vocabulary};

/// Proxies, and where each comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappedBlock {
    /// The tokens to verify, with their ends in bytes from the start of the draft.
    pub proxies: Proxies,
    /// The origin of each proxy.
    pub origins: Vec<Origin>,
}

/// The draft token that a proxy is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its place in the block, which is the place of its law too.
    pub index: usize,
    /// Its id.
    pub id: u32,
    /// How many of its target tokens come ahead of the proxy.
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
    /// The block of these draft tokens as at most `max_tokens` proxies, whose bytes `target` knows. It
    /// may end inside a draft token. O(proxies of the whole block).
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
            for (part, proxy) in path.iter().enumerate() {
                end += target.token_bytes(*proxy).len();
                if block.origins.len() < max_tokens {
                    block.origins.push(Origin { index, id, part });
                    block.proxies.tokens.push(TargetToken(*proxy));
                    block.proxies.ends.push(end as u32);
                }
            }
        }
        block.proxies.dropped_bytes = end - block.proxies.covered_bytes();
        Ok(block)
    }
}

impl Origin {
    /// The target tokens of the draft token that come ahead of the proxy: what
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
