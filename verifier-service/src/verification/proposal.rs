//! A drafter's proposal for one round.

use std::time::{Duration, Instant};

use proto::drafter::{DraftTimings, Draw, EndRole, Way};

use crate::lexicon::Lexicon;

/// Bytes that may follow the committed text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposal {
    pub(crate) text: Vec<u8>,
    /// End of each draft token in `text`.
    pub(crate) token_ends: Vec<u32>,
    /// Other ways to go on, the likeliest first.
    pub(crate) alternatives: Vec<Way>,
    /// Role of the end that the drafter proposes after the text.
    pub(crate) ends_with: Option<EndRole>,
    pub(crate) timings: DraftTimings,
    /// Draws of the tokens and of the proposed end; empty where the method does not need them.
    pub(crate) draws: Vec<Draw>,
    /// Meaning of the ids in `draws`.
    pub(crate) lexicon: Option<Lexicon>,
    /// Moment at which the block arrived. `None`: there is none.
    pub(crate) arrived: Option<Instant>,
    /// Bytes at the beginning of the block that were committed before it arrived.
    pub(crate) skipped_bytes: u32,
    /// Time from asking for the block to its arrival; `None` for the first of a stream, for which the drafter read the prompt.
    pub(crate) latency: Option<Duration>,
    /// Draft tokens of the whole block, including those that were committed before it arrived.
    pub(crate) drafted: usize,
}
