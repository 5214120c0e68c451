//! Dropped blocks: stale ones are counted, all are listed for a request that asks for them.

use std::time::{Duration, Instant};

use proto::{drafter::Block, limits::MAX_DROPPED_BLOCKS, verifier::FallbackReason};

/// Blocks that were dropped.
#[derive(Debug)]
pub(super) struct DroppedBlocks {
    stale_blocks: u32,
    /// Blocks dropped since the last `take`; no more than a round may list.
    dropped: Vec<Dropped>,
    tells: bool,
}

/// A block that was dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropped {
    pub(crate) arrived: Instant,
    pub(crate) compute: Duration,
    pub(crate) tokens: u32,
}

impl DroppedBlocks {
    pub(super) fn new(tells: bool) -> Self {
        Self {
            stale_blocks: 0,
            dropped: Vec::new(),
            tells,
        }
    }

    pub(super) fn drop_block(&mut self, block: &Block, arrived: Instant, why: FallbackReason) {
        self.stale_blocks += u32::from(why == FallbackReason::Stale);
        if self.tells && self.dropped.len() < MAX_DROPPED_BLOCKS {
            self.dropped.push(Dropped {
                arrived,
                compute: block.timings.compute,
                tokens: block.token_ends.len() as u32,
            });
        }
    }

    /// Number of blocks that continued another text.
    pub(super) fn stale_blocks(&self) -> u32 {
        self.stale_blocks
    }

    pub(super) fn take(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }
}
