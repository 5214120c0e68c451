//! A drafter's proposal for one round.

use std::time::{Duration, Instant};

use proto::drafter::{DraftTimings, Draw, EndRole, Way};

use crate::lexicon::Lexicon;

/// Bytes that may follow the committed text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposal {
    pub(crate) text: Vec<u8>,
    /// End of each draft token, in bytes of `text`.
    pub(crate) token_ends: Vec<u32>,
    /// Paths besides the chain, the likeliest first.
    pub(crate) alternatives: Vec<Way>,
    /// Role of the end that the drafter proposes after the text.
    pub(crate) ends_with: Option<EndRole>,
    pub(crate) timings: DraftTimings,
    /// Draws of the tokens and of the proposed end; empty where the method does not need them.
    pub(crate) draws: Vec<Draw>,
    /// Meaning of the ids in `draws`.
    pub(crate) lexicon: Option<Lexicon>,
    /// Moment at which the block arrived; `None` without a block.
    pub(crate) arrived: Option<Instant>,
    /// Length of the block's prefix that was committed before this round, in bytes.
    pub(crate) skipped_bytes: u32,
    /// Time from the request for the block to its arrival; `None` if the drafter read the prompt.
    pub(crate) latency: Option<Duration>,
    /// Draft tokens of the block's chain, including those committed before this round.
    pub(crate) drafted: usize,
}
