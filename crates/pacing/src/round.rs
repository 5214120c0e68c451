//! A round from both ends: what was wanted of the drafter, and what came of it.

use std::time::Duration;

/// Block that a session wants for its next round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wish {
    /// None: the next round is plain.
    Plain,
    /// A block asked for to learn what drafting is worth. Nobody waits for it, and nothing of it is verified before the target
    /// has said what it begins with: so it costs no wait and no row in vain.
    Probe {
        /// Draft tokens.
        tokens: usize,
    },
    /// A block to verify.
    Draft {
        /// Draft tokens at most.
        tokens: usize,
        /// Probability, from 0 to 1, that a token must have with all before it for its row to pay.
        least_chance: f64,
        /// Longest wait for the block, from the moment it was asked for.
        wait: Duration,
    },
}

/// A round that is over.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Wall clock from the end of the round before, or from the beginning of the first.
    pub took: Duration,
    /// Part of it that was spent waiting for the drafter.
    pub waited: Duration,
    /// Duration of the target's pass, which other sessions may have shared.
    pub pass: Duration,
    /// Tokens committed.
    pub committed: usize,
    /// A drafter was asked for a block, or for a probe's.
    pub asked: bool,
    /// Block that the round had, or missed.
    pub block: BlockFate,
}

/// Fate of the block that a round asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BlockFate {
    /// No block came, or none was asked for.
    None,
    /// The drafter is not ready yet: its stream is being opened.
    Opening,
    /// The drafter had nothing to propose.
    Declined,
    /// A block was judged: by verification, or, if it was a probe's, by what the target said without it.
    Judged {
        /// Draft tokens, including those that were committed before the block arrived.
        drafted: usize,
        /// Of those, tokens that the target accepted.
        accepted: usize,
        /// Candidates for each verified draft token; `None` if nothing was verified.
        candidates_per_token: Option<f64>,
        /// Time that the drafter computed, by its own word.
        compute: Duration,
        /// Time from asking for the block to its arrival; `None` for the first of a stream, which had the prompt to read.
        latency: Option<Duration>,
    },
    /// A block came too late to be of use, this long after it was asked for.
    Late {
        /// From asking for it to its arrival.
        latency: Duration,
    },
}

impl Wish {
    /// Draft tokens wanted; 0 for a plain round.
    pub fn tokens(&self) -> usize {
        match *self {
            Self::Plain => 0,
            Self::Probe { tokens } | Self::Draft { tokens, .. } => tokens,
        }
    }

    /// True for a block that only shows what drafting is worth.
    pub fn is_probe(&self) -> bool {
        matches!(self, Self::Probe { .. })
    }
}
