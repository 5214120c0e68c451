//! One open stream: blocks that have arrived, the block that is due, and the text sent so far.

mod sending;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use chassis::lifecycle::Lifecycle;
use pacing::BlockFate;
use proto::{
    CommittedText,
    drafter::{
        Block, Blocks, CloseReason, DraftSession, FailureCode, FromDrafter, Open, Traffic,
        Verdicts, Wish,
    },
    verifier::FallbackReason,
};
use tokio::time::{timeout, timeout_at};

use super::{
    dropped_blocks::DroppedBlocks,
    opening::OpenSession,
    remainder,
    stream_error::{Blame, StreamError},
};
use crate::{drafters::Lease, lexicon::Lexicon, verification::proposal::Proposal};

/// Unusable blocks that one round looks at before it goes on without a proposal.
const STALE_A_ROUND: u32 = 3;
/// Rounds in a row that waited in vain, after which a drafter is dismissed.
const FRUITLESS_ROUNDS: u32 = 3;
/// Usable blocks after which a stream counts as a success. One that ends before them is a failure.
const PROVEN_BLOCKS: u32 = 8;
/// Time after which a drafter that is overdue is dismissed.
const OVERDUE: Duration = Duration::from_secs(10);
/// Longest time for a drafter to end a stream that was closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    lease: Lease,
    lexicon: Option<Lexicon>,
    verdicts: Verdicts,
    blocks: Blocks,
    credit: u64,
    /// Wish that the next verdict sends.
    wish: Wish,
    /// Messages that no round has looked at; at most twice the credit.
    arrived: VecDeque<Arrival>,
    /// Numbers of the last block looked at, and of the last one that a verdict answered.
    looked_at: u64,
    answered: u64,
    /// Number of the reply's bytes that the drafter was sent, and the wish sent with them.
    sent: usize,
    sent_wish: Wish,
    /// Moment at which the next block was asked for, from which waits and latencies count.
    due_since: Instant,
    /// True if a round has waited for it in vain.
    is_overdue: bool,
    fruitless: u32,
    /// Number of usable blocks so far.
    usable: u32,
    /// True if the last block was empty: there may be nothing to wait for.
    has_declined: bool,
}

/// Use of a block that has arrived.
enum Use {
    Proposes(Box<Proposal>),
    /// The drafter has nothing to propose.
    Declines,
    /// None, for this reason, and the latency of the block if it was overdue.
    None(FallbackReason, Option<Duration>),
}

#[derive(Debug)]
enum Arrival {
    Block(Box<Block>, Instant),
    /// The drafter had no room for this block.
    Skipped,
}

/// Answer of a stream to a round.
#[derive(Debug)]
pub(super) enum Next {
    Block(Proposal),
    Nothing(FallbackReason, BlockFate),
    Lost(StreamError),
}

impl Stream {
    /// Stream of a session that was opened with the wish `first`. The drafter's limits must be
    /// within those of `open`, and its vocabulary must be that of the lexicon.
    pub(super) fn begin(
        lease: Lease,
        (session, lexicon): OpenSession,
        open: &Open,
        first: Wish,
    ) -> Result<Self, StreamError> {
        let DraftSession {
            opened,
            verdicts,
            blocks,
        } = session;
        let found = opened.tokenizer_fingerprint;
        let is_foreign = lexicon.as_ref().is_some_and(|(_, read)| *read != found);
        let wrong = if opened.credit > open.credit || opened.max_block_bytes > open.max_block_bytes
        {
            Some("opened: its limits go beyond what was asked for")
        } else if is_foreign {
            Some("opened.tokenizer_fingerprint is not that of the vocabulary it has sent")
        } else {
            None
        };
        if let Some(text) = wrong {
            lease.failed(text);
            return Err(StreamError::new(FallbackReason::Protocol, text));
        }
        lease.opened(&opened);
        let lexicon = lexicon.map(|(lexicon, _)| lexicon);
        Ok(Self {
            lease,
            lexicon,
            verdicts,
            blocks,
            credit: opened.credit.into(),
            wish: first,
            sent: 0,
            sent_wish: first,
            arrived: VecDeque::new(),
            looked_at: 0,
            answered: 0,
            due_since: Instant::now(),
            is_overdue: false,
            fruitless: 0,
            usable: 0,
            has_declined: false,
        })
    }

    /// Receives the next message. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<(), StreamError> {
        let message = self
            .blocks
            .next()
            .await
            .map_err(|e| StreamError::of_error(&e))?;
        let arrival = match message {
            Some(FromDrafter::Block(block)) => Arrival::Block(Box::new(block), Instant::now()),
            Some(FromDrafter::Failure(failure)) if failure.code == FailureCode::Overloaded => {
                Arrival::Skipped
            }
            Some(FromDrafter::Failure(failure)) => return Err(StreamError::of_failure(&failure)),
            Some(FromDrafter::Opened(_)) | None => {
                let text = "the drafter has ended the stream";
                return Err(StreamError::fault(FallbackReason::Disconnected, text));
            }
        };
        if self.arrived.len() as u64 >= 2 * self.credit {
            let text = "more messages than its credit allows";
            return Err(StreamError::fault(FallbackReason::Protocol, text));
        }
        self.arrived.push_back(arrival);
        Ok(())
    }

    /// The block of a probe, judged by the text committed after its base. Waits for nothing. A
    /// block without such text stays in the queue.
    pub(super) fn probed(
        &mut self,
        committed: &CommittedText,
        dropped: &mut DroppedBlocks,
    ) -> Next {
        while let Some(arrival) = self.arrived.pop_front() {
            let Arrival::Block(block, at) = arrival else {
                continue;
            };
            let is_next = block.base_length == committed.len() as u64;
            if is_next && !block.declines() && block.base_hash == committed.hash() {
                self.arrived.push_front(Arrival::Block(block, at));
                break;
            }
            let compute = block.timings.compute_of(block.chain_tokens());
            // Verdicts sent meanwhile reset the clock, so only a lower bound is known.
            let latency = Some(self.lease.least_latency(compute));
            match self.look_at(&block, at, committed) {
                Use::Proposes(mut proposal) => {
                    proposal.latency = latency;
                    return Next::Block(*proposal);
                }
                Use::Declines => return Next::Nothing(FallbackReason::Paused, BlockFate::Declined),
                Use::None(why, _) => dropped.drop_block(&block, at, why),
            }
            if let Some(accepted) = remainder::accepted(&block, committed) {
                let fate = BlockFate::Judged {
                    drafted: block.chain_tokens(),
                    accepted,
                    candidates_per_token: None,
                    compute,
                    latency,
                };
                return Next::Nothing(FallbackReason::Paused, fate);
            }
        }
        Next::Nothing(FallbackReason::Paused, BlockFate::None)
    }

    /// The next block that continues `committed`. Waits at most `wait` from the moment it was asked
    /// for. Blocks that do not continue the text are dropped.
    pub(super) async fn take(
        &mut self,
        committed: &CommittedText,
        wait: Duration,
        dropped: &mut DroppedBlocks,
    ) -> Next {
        let mut stale = 0;
        let mut why = FallbackReason::Late;
        let mut fate = BlockFate::None;
        loop {
            while let Some(arrival) = self.arrived.pop_front() {
                let Arrival::Block(block, at) = arrival else {
                    return Next::Nothing(FallbackReason::Failed, fate);
                };
                match self.look_at(&block, at, committed) {
                    Use::Proposes(proposal) => return Next::Block(*proposal),
                    Use::Declines => {
                        let why = FallbackReason::NothingUsable;
                        return Next::Nothing(why, BlockFate::Declined);
                    }
                    Use::None(reason, late) => {
                        why = reason;
                        fate = late.map_or(fate, |latency| BlockFate::Late { latency });
                    }
                }
                stale += 1;
                dropped.drop_block(&block, at, why);
            }
            if let Err(loss) = self.give_back_credit(committed) {
                return Next::Lost(loss);
            }
            if self.is_overdue || stale >= STALE_A_ROUND {
                return self.go_without(why, fate);
            }
            let deadline = self.due_since + wait;
            match timeout_at(deadline.into(), self.receive()).await {
                Ok(Ok(())) => {}
                Ok(Err(loss)) => return Next::Lost(loss),
                // An empty block promises no other, so none is late.
                Err(_) if self.has_declined => {
                    return Next::Nothing(FallbackReason::NothingUsable, BlockFate::Declined);
                }
                Err(_) => {
                    self.is_overdue = true;
                    // The block is late only if the wait was the drafter's whole deadline.
                    let tokens = self.wish.tokens as usize;
                    let is_full = wait >= self.lease.learn(|known| known.deadline(tokens));
                    self.fruitless += u32::from(is_full);
                    return self.go_without(why, fate);
                }
            }
        }
    }

    /// Sets the wish that the next verdict sends.
    pub(super) fn want(&mut self, wish: Wish) {
        // A block that is not asked for is not overdue.
        self.is_overdue &= wish.tokens > 0 && self.wish.tokens > 0;
        self.wish = wish;
    }

    /// The hold on the drafter.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.verdicts.traffic()
    }

    /// Reports the reason for giving up the stream to the lease.
    pub(super) fn blame(&self, error: &StreamError) {
        match error.blame {
            Blame::Nobody => {}
            Blame::Fault => self.lease.failed(&error.text),
            Blame::Stopping => self.lease.lost(&error.text),
            Blame::Gone => {
                if self.usable < PROVEN_BLOCKS {
                    self.lease.failed(&error.text);
                }
                self.lease.lost(&error.text);
            }
        }
    }

    /// Ends the session. In the background the drafter gets a moment to read why and end its side.
    pub(super) fn close(self, reason: CloseReason, lifecycle: &Lifecycle) {
        let Self {
            lease,
            usable,
            verdicts,
            mut blocks,
            ..
        } = self;
        if reason == CloseReason::Finished && usable > 0 {
            lease.succeeded();
        }
        verdicts.close(reason);
        // Without a runtime the process is at its end, and the connection with it.
        if tokio::runtime::Handle::try_current().is_ok() {
            lifecycle.tasks().spawn(async move {
                let ended = async { while let Ok(Some(_)) = blocks.next().await {} };
                drop(timeout(FAREWELL, ended).await);
            });
        }
    }

    /// Use of a block that arrived at `at`.
    fn look_at(&mut self, block: &Block, at: Instant, committed: &CommittedText) -> Use {
        self.looked_at = block.round;
        self.has_declined = block.declines();
        let latency = at.saturating_duration_since(self.due_since);
        let was_overdue = std::mem::take(&mut self.is_overdue);
        let left = match remainder::remainder(block, committed) {
            Ok(left) => left,
            Err(why) => {
                if was_overdue {
                    self.due_since = Instant::now();
                }
                return Use::None(why, was_overdue.then_some(latency));
            }
        };
        self.fruitless = 0;
        self.usable += 1;
        if self.usable == PROVEN_BLOCKS {
            self.lease.succeeded();
        }
        if self.has_declined {
            return Use::Declines;
        }
        Use::Proposes(Box::new(Proposal {
            text: left.text,
            token_ends: left.token_ends,
            alternatives: left.alternatives,
            draws: left.draws,
            skipped_bytes: left.skipped_bytes,
            lexicon: self.lexicon.clone(),
            ends_with: block.ends_with,
            timings: block.timings,
            arrived: Some(at),
            // The first block's latency includes the time to read the prompt.
            latency: (block.round > 1).then_some(latency),
            drafted: block.chain_tokens(),
        }))
    }

    /// Sends an empty verdict if dropped blocks have used up the credit: else no block could come.
    fn give_back_credit(&mut self, committed: &CommittedText) -> Result<(), StreamError> {
        if self.looked_at - self.answered < self.credit {
            return Ok(());
        }
        self.send(committed, 0, &[])
    }

    /// Round without a proposal, or loss of a drafter that has been of no use for too long.
    fn go_without(&mut self, why: FallbackReason, fate: BlockFate) -> Next {
        if !self.is_overdue {
            self.fruitless += 1;
        }
        if self.fruitless >= FRUITLESS_ROUNDS {
            let text = "waited for in vain too often";
            return Next::Lost(StreamError::fault(why, text));
        }
        if self.is_overdue && self.due_since.elapsed() > OVERDUE {
            return Next::Lost(StreamError::fault(why, "overdue for too long"));
        }
        Next::Nothing(why, fate)
    }
}
