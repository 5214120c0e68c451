//! Blocks and verdicts.

use std::time::Duration;

use crate::{BaseHash, CommittedText, ProtocolError, check, limits, wire::drafter::v1 as wire};

/// A proposal: bytes that may follow the base.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Number of the block, from 1.
    pub round: u64,
    /// Length in bytes of the reply that it follows.
    pub base_length: u64,
    /// Hash of those bytes.
    pub base_hash: BaseHash,
    /// The proposed bytes. Empty without `ends_with`: there is nothing to propose.
    pub text: Vec<u8>,
    /// Byte end in `text` of each draft token; never decreasing, the last is the length of `text`.
    pub token_ends: Vec<u32>,
    /// Role of the control token proposed after `text`.
    pub ends_with: Option<EndRole>,
    /// Tokens as a tree: 0 follows the base, n follows token n-1. Empty: a chain. See [`Block::ways`].
    pub parents: Vec<u32>,
    /// How each token was drawn, and the one that `ends_with` stands for; empty where the method need not know.
    pub draws: Vec<Draw>,
    /// What the block cost the drafter.
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

/// How a token was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// Its id in the draft model's vocabulary.
    pub id: u32,
    /// Natural logarithm of its probability; finite, at most 0.
    pub log_prob: f32,
    /// What it was drawn from; `None` where the method needs no distribution.
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

/// What a block cost, on the drafter's clock.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DraftTimings {
    /// Time in forward passes.
    pub compute: Duration,
    /// Those passes, also for tokens that the block does not have; 0: not counted.
    pub passes: u32,
}

impl DraftTimings {
    /// The part of `compute` that this many tokens took, each a pass.
    pub fn compute_of(&self, tokens: usize) -> Duration {
        if self.passes == 0 {
            return self.compute;
        }
        let seconds = self.compute.as_secs_f64() * tokens as f64 / f64::from(self.passes);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.compute)
    }
}

/// What became of the reply since the last verdict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Last block that this answers; 0 for none.
    pub round: u64,
    /// Proposed bytes kept, from the end of what was committed before.
    pub kept_bytes: u32,
    /// Bytes committed after those.
    pub appended: Vec<u8>,
    /// Hash of the committed text now.
    pub new_hash: BaseHash,
    /// Draft tokens that the next block shall aim at; 0 for a pause. `None`, here and below: no change.
    pub next_block_tokens: Option<u32>,
    /// Draft tokens beside its chain that the next block may have; 0: a chain.
    pub next_alternatives: Option<u32>,
    /// How probable, in percent, it must look that a token of it is kept with all before it; 0: everything is sent.
    pub next_least_percent: Option<u32>,
}

/// One way through a tree, from the base on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Way {
    /// The bytes of its tokens.
    pub text: Vec<u8>,
    /// Where each token ends in them.
    pub token_ends: Vec<u32>,
}

impl Block {
    /// Whether the drafter says that it has nothing to propose.
    pub fn declines(&self) -> bool {
        self.text.is_empty() && self.ends_with.is_none()
    }

    /// How many tokens the chain has: the first ones, as many as each follow the one before.
    pub fn chain_tokens(&self) -> usize {
        if self.parents.is_empty() {
            return self.token_ends.len();
        }
        let parents = self.parents.iter().zip(0..);
        parents
            .take_while(|(parent, index)| **parent == *index)
            .count()
    }

    /// The chain, and the ways to those tokens besides that nothing follows, in their order. Without a tree there is only the
    /// chain. O(tokens · bytes).
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

    /// The tokens from the base to this one.
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

impl Verdict {
    /// Brings the drafter's `committed` up to date. `drafted` is what the drafter has proposed behind it.
    ///
    /// On an error the two sides have lost step and the session is over.
    pub fn follow(
        &self,
        committed: &mut CommittedText,
        drafted: &[u8],
    ) -> Result<(), ProtocolError> {
        let kept = drafted.get(..self.kept_bytes as usize).ok_or_else(|| {
            let expected = format!("at most the {} bytes proposed", drafted.len());
            ProtocolError::invalid("verdict.kept_bytes", self.kept_bytes.to_string(), expected)
        })?;
        committed.append(kept)?;
        committed.append(&self.appended)?;
        if committed.hash() != self.new_hash {
            let found = self.new_hash.to_string();
            return Err(ProtocolError::invalid(
                "verdict.new_hash",
                found,
                committed.hash().to_string(),
            ));
        }
        Ok(())
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

impl TryFrom<wire::Verdict> for Verdict {
    type Error = ProtocolError;

    fn try_from(verdict: wire::Verdict) -> Result<Self, ProtocolError> {
        check::within(
            "kept_bytes",
            verdict.kept_bytes,
            0..=limits::MAX_BLOCK_BYTES,
        )?;
        let appended = verdict.appended.len();
        check::size(
            "appended",
            appended,
            0..=limits::MAX_APPENDED_BYTES,
            "bytes",
        )?;
        let next = |field: &str, value: Option<u32>, most: u32| {
            value
                .map(|value| check::within(field, value, 0..=most))
                .transpose()
        };
        Ok(Self {
            round: verdict.round,
            kept_bytes: verdict.kept_bytes,
            appended: verdict.appended,
            new_hash: BaseHash(verdict.new_hash),
            next_block_tokens: next(
                "next_block_tokens",
                verdict.next_block_tokens,
                limits::MAX_BLOCK_TOKENS,
            )?,
            next_alternatives: next(
                "next_alternatives",
                verdict.next_alternatives,
                limits::MAX_ALTERNATIVES,
            )?,
            next_least_percent: next("next_least_percent", verdict.next_least_percent, 100)?,
        })
    }
}

impl From<Verdict> for wire::Verdict {
    fn from(verdict: Verdict) -> Self {
        Self {
            round: verdict.round,
            kept_bytes: verdict.kept_bytes,
            appended: verdict.appended,
            new_hash: verdict.new_hash.0,
            next_block_tokens: verdict.next_block_tokens,
            next_alternatives: verdict.next_alternatives,
            next_least_percent: verdict.next_least_percent,
        }
    }
}
