//! Blocks: proposals of a drafter.

use std::time::Duration;

use crate::{BaseHash, ProtocolError, check, limits, wire::drafter::v1 as wire};

/// A proposal: bytes that may follow the base.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Number of the block, from 1.
    pub round: u64,
    /// Length in bytes of the reply that the block follows.
    pub base_length: u64,
    /// Hash of those bytes.
    pub base_hash: BaseHash,
    /// Proposed bytes. Empty without `ends_with`: there is nothing to propose.
    pub text: Vec<u8>,
    /// Byte end in `text` of each draft token; never decreasing, the last is the length of `text`.
    pub token_ends: Vec<u32>,
    /// Role of the control token proposed after `text`.
    pub ends_with: Option<EndRole>,
    /// Tokens as a tree: 0 follows the base, n follows token n-1. Empty: a chain. See [`Block::ways`].
    pub parents: Vec<u32>,
    /// Draw of each token, and of the one that `ends_with` stands for; empty where the method needs none.
    pub draws: Vec<Draw>,
    /// Cost of the block.
    pub timings: DraftTimings,
}

/// Role of a control token that ends a reply.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EndRole {
    /// Ends the sequence.
    EndOfSequence,
    /// Ends the assistant's turn.
    EndOfTurn,
}

/// Draw of a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// Its id in the draft model's vocabulary.
    pub id: u32,
    /// Natural logarithm of its probability; finite, at most 0.
    pub log_prob: f32,
    /// Distribution that it was drawn from; `None` where the method needs none.
    pub distribution: Option<SparseDistribution>,
}

/// A distribution over the next draft token with few entries; parallel, ids strictly ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseDistribution {
    /// Ids in the draft model's vocabulary.
    pub ids: Vec<u32>,
    /// Natural logarithm of each one's probability.
    pub log_probs: Vec<f32>,
}

/// Cost of a block, on the drafter's clock.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DraftTimings {
    /// Time in forward passes.
    pub compute: Duration,
    /// Number of those passes, also for tokens that the block does not have; 0: not counted.
    pub passes: u32,
}

impl DraftTimings {
    /// Share of `compute` for `tokens` tokens, at one pass each.
    pub fn compute_of(&self, tokens: usize) -> Duration {
        if self.passes == 0 {
            return self.compute;
        }
        let seconds = self.compute.as_secs_f64() * tokens as f64 / f64::from(self.passes);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.compute)
    }
}

/// Path through a tree, from the base on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Way {
    /// Bytes of its tokens.
    pub text: Vec<u8>,
    /// Byte end in `text` of each token.
    pub token_ends: Vec<u32>,
}

impl Block {
    /// True if the drafter has nothing to propose.
    pub fn declines(&self) -> bool {
        self.text.is_empty() && self.ends_with.is_none()
    }

    /// Number of tokens of the chain: the first ones, as many as each follow the one before.
    pub fn chain_tokens(&self) -> usize {
        if self.parents.is_empty() {
            return self.token_ends.len();
        }
        let parents = self.parents.iter().zip(0..);
        parents
            .take_while(|(parent, index)| **parent == *index)
            .count()
    }

    /// The chain, and the path to each leaf besides it, in their order. Without a tree there is only the chain.
    /// O(tokens · bytes).
    pub fn ways(&self) -> (Way, Vec<Way>) {
        let chain = self.chain_tokens();
        let is_followed = |token: &usize| self.parents.contains(&(*token as u32 + 1));
        let leaves = (chain..self.parents.len()).filter(|token| !is_followed(token));
        let chain = self.way(&(0..chain).collect::<Vec<_>>());
        (
            chain,
            leaves.map(|leaf| self.way(&self.path(leaf))).collect(),
        )
    }

    /// Tokens from the base to this one.
    fn path(&self, token: usize) -> Vec<usize> {
        let before = |token: &usize| (self.parents[*token] as usize).checked_sub(1);
        let mut path: Vec<usize> = std::iter::successors(Some(token), before).collect();
        path.reverse();
        path
    }

    fn way(&self, tokens: &[usize]) -> Way {
        let mut way = Way::default();
        for token in tokens {
            let before = token.checked_sub(1).map_or(0, |last| self.token_ends[last]);
            let bytes = before as usize..self.token_ends[*token] as usize;
            way.text.extend_from_slice(&self.text[bytes]);
            way.token_ends.push(way.text.len() as u32);
        }
        way
    }
}

impl TryFrom<wire::Block> for Block {
    type Error = ProtocolError;

    fn try_from(block: wire::Block) -> Result<Self, ProtocolError> {
        check::within("round", block.round, 1..=u64::MAX)?;
        let ends_with = match check::known("ends_with", block.ends_with)? {
            wire::EndRole::Unspecified => None,
            wire::EndRole::EndOfSequence => Some(EndRole::EndOfSequence),
            wire::EndRole::EndOfTurn => Some(EndRole::EndOfTurn),
        };
        let longest = limits::MAX_BLOCK_BYTES as usize;
        check::size("text", block.text.len(), 0..=longest, "bytes")?;
        let tokens = block.token_ends.len();
        let most = limits::MAX_BLOCK_TOKENS as usize;
        check::size("token_ends", tokens, 0..=most, "entries")?;
        check_ends(&block.token_ends, block.text.len())?;
        check_parents(&block.parents, tokens, ends_with)?;
        Ok(Self {
            round: block.round,
            base_length: block.base_length,
            base_hash: BaseHash(block.base_hash),
            text: block.text,
            token_ends: block.token_ends,
            ends_with,
            parents: block.parents,
            draws: draws(block.draws, tokens + usize::from(ends_with.is_some()))?,
            timings: DraftTimings {
                compute: Duration::from_micros(block.compute_micros),
                passes: block.passes,
            },
        })
    }
}

fn check_ends(ends: &[u32], length: usize) -> Result<(), ProtocolError> {
    if !ends.is_sorted() {
        return Err(ProtocolError::invalid(
            "token_ends",
            "out of order",
            "never decreasing",
        ));
    }
    let last = ends.last().map_or(0, |&end| end as usize);
    if last != length {
        let expected = format!("closed by {length}, the length of text");
        return Err(ProtocolError::invalid(
            "token_ends",
            format!("closed by {last}"),
            expected,
        ));
    }
    Ok(())
}

fn check_parents(
    parents: &[u32],
    tokens: usize,
    ends_with: Option<EndRole>,
) -> Result<(), ProtocolError> {
    if parents.is_empty() {
        return Ok(());
    }
    check::size("parents", parents.len(), tokens..=tokens, "entries")?;
    if ends_with.is_some() {
        return Err(ProtocolError::invalid(
            "ends_with",
            "set",
            "absent where the block is a tree",
        ));
    }
    match parents
        .iter()
        .zip(0..)
        .position(|(&parent, index)| parent > index)
    {
        Some(index) => {
            let found = parents[index].to_string();
            let expected = format!("at most {index}, a token before");
            Err(ProtocolError::invalid(
                &format!("parents[{index}]"),
                found,
                expected,
            ))
        }
        None => Ok(()),
    }
}

fn draws(draws: Vec<wire::Draw>, tokens: usize) -> Result<Vec<Draw>, ProtocolError> {
    if draws.is_empty() {
        return Ok(Vec::new());
    }
    check::size("draws", draws.len(), tokens..=tokens, "entries")?;
    let distributions = draws.iter().filter_map(|draw| draw.distribution.as_ref());
    let entries = distributions
        .map(|distribution| distribution.ids.len())
        .sum();
    check::size(
        "draws",
        entries,
        0..=limits::MAX_DISTRIBUTION_ENTRIES,
        "ids",
    )?;
    draws
        .into_iter()
        .enumerate()
        .map(|(i, draw)| Draw::try_from(draw).map_err(|e| e.within(&format!("draws[{i}]"))))
        .collect()
}

impl TryFrom<wire::Draw> for Draw {
    type Error = ProtocolError;

    fn try_from(draw: wire::Draw) -> Result<Self, ProtocolError> {
        let distribution = draw
            .distribution
            .map(SparseDistribution::try_from)
            .transpose();
        Ok(Self {
            id: draw.id,
            log_prob: check::within("log_prob", draw.log_prob, f32::MIN..=0.0)?,
            distribution: distribution.map_err(|e| e.within("distribution"))?,
        })
    }
}

impl From<Draw> for wire::Draw {
    fn from(draw: Draw) -> Self {
        Self {
            id: draw.id,
            log_prob: draw.log_prob,
            distribution: draw.distribution.map(wire::SparseDistribution::from),
        }
    }
}

impl From<Block> for wire::Block {
    fn from(block: Block) -> Self {
        let ends_with = match block.ends_with {
            None => wire::EndRole::Unspecified,
            Some(EndRole::EndOfSequence) => wire::EndRole::EndOfSequence,
            Some(EndRole::EndOfTurn) => wire::EndRole::EndOfTurn,
        };
        Self {
            round: block.round,
            base_length: block.base_length,
            base_hash: block.base_hash.0,
            text: block.text,
            token_ends: block.token_ends,
            ends_with: ends_with.into(),
            parents: block.parents,
            draws: block.draws.into_iter().map(wire::Draw::from).collect(),
            compute_micros: check::micros(block.timings.compute),
            passes: block.timings.passes,
        }
    }
}

impl TryFrom<wire::SparseDistribution> for SparseDistribution {
    type Error = ProtocolError;

    fn try_from(distribution: wire::SparseDistribution) -> Result<Self, ProtocolError> {
        let wire::SparseDistribution { ids, log_probs } = distribution;
        if ids.is_empty() || !ids.is_sorted_by(|a, b| a < b) {
            let expected = "at least one id, strictly ascending";
            return Err(ProtocolError::invalid(
                "ids",
                "empty or out of order",
                expected,
            ));
        }
        check::size(
            "log_probs",
            log_probs.len(),
            ids.len()..=ids.len(),
            "entries",
        )?;
        for &log_prob in &log_probs {
            check::within("log_probs", log_prob, f32::MIN..=0.0)?;
        }
        Ok(Self { ids, log_probs })
    }
}

impl From<SparseDistribution> for wire::SparseDistribution {
    fn from(distribution: SparseDistribution) -> Self {
        Self {
            ids: distribution.ids,
            log_probs: distribution.log_probs,
        }
    }
}
