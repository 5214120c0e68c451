//! One open stream: blocks that have come, when the next is due, and what the drafter has been told.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use chassis::lifecycle::Lifecycle;
use pacing::goodput::{Outcome, alternatives::Tried};
use proto::{
    CommittedText,
    drafter::{
        Block, Blocks, CloseReason, DraftSession, FailureCode, FromDrafter, Open, Traffic, Verdict,
        Verdicts, Wish,
    },
    limits::MAX_APPENDED_BYTES,
    verifier::FallbackReason,
};
use tokio::time::{timeout, timeout_at};

use super::{
    OpenSession, Proposal, continuation,
    loss::{Kind, Loss},
    waste::Waste,
};
use crate::{
    drafters::{Lease, Rest},
    lexicon::Lexicon,
};

/// Blocks of another text that one round looks at before it goes on without.
const STALE_A_ROUND: u32 = 3;
/// Rounds in a row that waited for nothing usable, after which a drafter is dismissed.
const FRUITLESS_ROUNDS: u32 = 3;
/// How long a drafter that is overdue is kept.
const OVERDUE: Duration = Duration::from_secs(10);
/// Bytes of a reply of which a drafter that makes a pause need not be told: about as many tokens as it reads at once in idle time.
const QUIET_BYTES: usize = 64;
/// How long a drafter may take to end a stream that was closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    lease: Lease,
    lexicon: Option<Lexicon>,
    verdicts: Verdicts,
    blocks: Blocks,
    credit: u64,
    /// The block that is asked for.
    wish: Wish,
    /// Never more than twice the credit.
    arrived: VecDeque<Arrival>,
    /// Last block looked at, and the last that the drafter knows to be answered.
    looked_at: u64,
    answered: u64,
    /// Bytes of the reply that the drafter has been told of, and the block that it was asked for with them.
    told: usize,
    told_wish: Wish,
    /// Since when a block is to be drafted.
    due_since: Instant,
    /// A round has waited for it in vain.
    is_overdue: bool,
    fruitless: u32,
    /// The last block was empty: there may be nothing to wait for.
    has_declined: bool,
}

/// What a trial has come to.
#[derive(Debug)]
pub(super) enum Trial {
    /// Nothing yet.
    Waits,
    /// The target has said all that a block says, or something else behind so many of its tokens.
    Over(Judged),
    /// It has said what a block begins with.
    Stands(Box<Proposal>),
}

/// A block that the target has judged without having seen it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) drafted: usize,
    pub(super) stood: usize,
    pub(super) compute: Duration,
    /// How long such a block takes at least.
    pub(super) latency: Duration,
}

/// What a block that has come is good for.
enum Use {
    Proposes(Box<Proposal>),
    /// It says that there is nothing to propose.
    Declines,
    None(FallbackReason),
}

#[derive(Debug)]
enum Arrival {
    Block(Box<Block>, Instant),
    /// The drafter had no room for this block.
    Skipped,
}

/// What a round gets from a stream.
#[derive(Debug)]
pub(super) enum Next {
    Block(Proposal),
    Nothing(FallbackReason),
    Lost(Loss),
}

impl Stream {
    /// A session that has just been opened, by asking for `first`. The limits that the drafter names must be within those that
    /// it was asked for, and its vocabulary must be the one that its ids will be read by.
    pub(super) fn begin(
        lease: Lease,
        (session, lexicon): OpenSession,
        open: &Open,
        first: Wish,
    ) -> Result<Self, Loss> {
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
            Some("opened.tokenizer_fingerprint is not that of the vocabulary it has told")
        } else {
            None
        };
        if let Some(text) = wrong {
            lease.failed(text);
            return Err(Loss::new(FallbackReason::Protocol, text));
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
            told: 0,
            told_wish: first,
            arrived: VecDeque::new(),
            looked_at: 0,
            answered: 0,
            due_since: Instant::now(),
            is_overdue: false,
            fruitless: 0,
            has_declined: false,
        })
    }

    /// Takes in the next message. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<(), Loss> {
        let message = self.blocks.next().await.map_err(|e| Loss::of_error(&e))?;
        let arrival = match message {
            Some(FromDrafter::Block(block)) => Arrival::Block(Box::new(block), Instant::now()),
            Some(FromDrafter::Failure(failure)) if failure.code == FailureCode::Overloaded => {
                Arrival::Skipped
            }
            Some(FromDrafter::Failure(failure)) => return Err(Loss::of_failure(&failure)),
            Some(FromDrafter::Opened(_)) | None => {
                let text = "the drafter has ended the stream";
                return Err(Loss::fault(FallbackReason::Disconnected, text));
            }
        };
        if self.arrived.len() as u64 >= 2 * self.credit {
            let text = "more messages than its credit allows";
            return Err(Loss::fault(FallbackReason::Protocol, text));
        }
        self.arrived.push_back(arrival);
        Ok(())
    }

    /// What has come of a trial. Waits for nothing, and leaves a block where it is of which the target has said nothing.
    pub(super) fn try_out(&mut self, committed: &CommittedText, waste: &mut Waste) -> Trial {
        while let Some(arrival) = self.arrived.pop_front() {
            let Arrival::Block(block, at) = arrival else {
                continue;
            };
            let is_next = block.base_length == committed.len() as u64;
            if is_next && !block.declines() && block.base_hash == committed.hash() {
                self.arrived.push_front(Arrival::Block(block, at));
                break;
            }
            match self.look_at(&block, None, committed) {
                Use::Proposes(mut proposal) => {
                    let compute = block.timings.compute_of(proposal.drafted);
                    proposal.latency = Some(self.lease.tried_out(proposal.drafted, compute));
                    proposal.arrived = Some(at);
                    return Trial::Stands(proposal);
                }
                Use::Declines => {}
                Use::None(why) => waste.drop_block(&block, at, why),
            }
            if let Some(stood) = continuation::stood(&block, committed) {
                let drafted = block.chain_tokens();
                let compute = block.timings.compute_of(drafted);
                self.lease.tried(drafted, stood);
                return Trial::Over(Judged {
                    drafted,
                    stood,
                    compute,
                    latency: self.lease.tried_out(drafted, compute),
                });
            }
        }
        Trial::Waits
    }

    /// The next block that continues `committed`, waited for no longer than `at_most`. Blocks that do not are dropped and told
    /// to `waste`.
    pub(super) async fn take(
        &mut self,
        committed: &CommittedText,
        at_most: Option<Duration>,
        waste: &mut Waste,
    ) -> Next {
        let mut dropped = 0;
        let mut why = FallbackReason::Late;
        loop {
            while let Some(arrival) = self.arrived.pop_front() {
                let Arrival::Block(block, at) = arrival else {
                    return Next::Nothing(FallbackReason::Failed);
                };
                match self.look_at(&block, Some(at), committed) {
                    Use::Proposes(proposal) => return Next::Block(*proposal),
                    Use::Declines => return Next::Nothing(FallbackReason::NothingUsable),
                    Use::None(reason) => why = reason,
                }
                dropped += 1;
                waste.drop_block(&block, at, why);
            }
            if let Err(loss) = self.give_back_credit(committed) {
                return Next::Lost(loss);
            }
            if self.is_overdue || dropped >= STALE_A_ROUND {
                return self.go_without(why);
            }
            let patience = match at_most {
                Some(_) if self.has_declined => Duration::ZERO,
                None if self.has_declined => self.lease.brief_patience(),
                _ => self.lease.patience(self.wish.tokens),
            };
            let is_short = at_most.is_some_and(|at_most| at_most < patience);
            let patience = at_most.unwrap_or(patience).min(patience);
            let deadline = self.due_since + patience;
            match timeout_at(deadline.into(), self.receive()).await {
                Ok(Ok(())) => {}
                Ok(Err(loss)) => return Next::Lost(loss),
                // Nothing was promised, so nothing is late.
                Err(_) if self.has_declined => {
                    return Next::Nothing(FallbackReason::NothingUsable);
                }
                Err(_) => {
                    self.is_overdue = true;
                    // It may be on time, but not for the others.
                    self.fruitless += u32::from(!is_short);
                    return self.go_without(why);
                }
            }
        }
    }

    /// The block that the next verdict asks for.
    pub(super) fn aim(&mut self, wish: Wish) {
        // What was not asked for is not overdue.
        self.is_overdue &= wish.tokens > 0 && self.wish.tokens > 0;
        self.wish = wish;
    }

    /// What a block came to, and its alternatives.
    pub(super) fn judged(&self, outcome: Outcome, tried: &Tried) {
        self.lease.judged(outcome, tried);
    }

    /// The same as [`Self::tell`], but while nothing is asked for only now and then: a drafter that makes a pause needs no message for
    /// each token, and reads what it missed in one.
    pub(super) fn tell_when_due(
        &mut self,
        committed: &CommittedText,
        kept_bytes: u32,
        appended: &[u8],
    ) -> Result<(), Loss> {
        let untold = committed.len() - self.told;
        let is_quiet = self.told_wish.tokens == 0 && self.wish.tokens == 0 && kept_bytes == 0;
        if is_quiet && untold < QUIET_BYTES {
            return Ok(());
        }
        if untold > kept_bytes as usize + appended.len() {
            return self.catch_up(committed, self.told);
        }
        self.tell(committed, kept_bytes, appended)
    }

    /// Tells what became of the reply: so many bytes of the last proposal kept, then `appended`.
    pub(super) fn tell(
        &mut self,
        committed: &CommittedText,
        kept_bytes: u32,
        appended: &[u8],
    ) -> Result<(), Loss> {
        self.answered = self.looked_at;
        self.told = committed.len();
        let told = std::mem::replace(&mut self.told_wish, self.wish);
        if !self.is_overdue {
            self.due_since = Instant::now();
        }
        let verdict = Verdict {
            round: self.answered,
            kept_bytes,
            appended: appended.to_vec(),
            new_hash: committed.hash(),
            next: (self.wish != told).then_some(self.wish),
        };
        self.verdicts
            .verdict(verdict)
            .map_err(|e| Loss::of_error(&e))
    }

    /// Tells what was committed behind the first `told` bytes while the stream was being opened.
    pub(super) fn catch_up(&mut self, committed: &CommittedText, told: usize) -> Result<(), Loss> {
        self.told = told;
        let mut length = told;
        for appended in committed.bytes()[told..].chunks(MAX_APPENDED_BYTES) {
            length += appended.len();
            let mut until = committed.clone();
            until.truncate(length);
            self.tell(&until, 0, appended)?;
        }
        Ok(())
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.verdicts.traffic()
    }

    /// See [`Lease::rest`].
    pub(super) fn rest(&self) -> Rest {
        self.lease.rest()
    }

    /// Reports a loss to where drafters are chosen.
    pub(super) fn blame(&self, loss: &Loss) {
        match loss.kind {
            Kind::Natural => {}
            Kind::Fault => self.lease.failed(&loss.text),
            Kind::Gone => self.lease.lost(&loss.text),
        }
    }

    /// Ends the session. The drafter gets a moment to end its side, so that it reads why; nobody waits for it here.
    pub(super) fn close(self, reason: CloseReason, lifecycle: &Lifecycle) {
        let Self {
            verdicts,
            mut blocks,
            ..
        } = self;
        verdicts.close(reason);
        // Without a runtime the process is at its end, and the connection with it.
        if tokio::runtime::Handle::try_current().is_ok() {
            lifecycle.tasks().spawn(async move {
                let ended = async { while let Ok(Some(_)) = blocks.next().await {} };
                drop(timeout(FAREWELL, ended).await);
            });
        }
    }

    /// What a block that came at this moment still proposes, or why it is of no use. `None`: it is of a trial.
    fn look_at(&mut self, block: &Block, at: Option<Instant>, committed: &CommittedText) -> Use {
        self.looked_at = block.round;
        self.has_declined = block.declines();
        let latency = at.map(|at| at.saturating_duration_since(self.due_since));
        let was_overdue = std::mem::take(&mut self.is_overdue);
        let left = match continuation::remainder(block, committed) {
            Ok(left) => left,
            Err(why) => {
                if let Some(latency) = latency.filter(|_| was_overdue) {
                    self.lease.delivered_late(latency);
                    self.due_since = Instant::now();
                }
                return Use::None(why);
            }
        };
        self.fruitless = 0;
        let drafted = block.chain_tokens();
        let compute = block.timings.compute_of(drafted);
        // Before the first block the drafter had to read the prompt, which no other waits for.
        let latency = latency.filter(|_| block.round > 1);
        if at.is_some() {
            self.lease.delivered(drafted, compute, latency);
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
            arrived: at,
            latency,
            drafted,
        }))
    }

    /// A drafter whose blocks were all dropped could not send another one before the next verdict: it gets an empty one.
    fn give_back_credit(&mut self, committed: &CommittedText) -> Result<(), Loss> {
        if self.looked_at - self.answered < self.credit {
            return Ok(());
        }
        self.tell(committed, 0, &[])
    }

    /// A round without a proposal, or the end of a drafter that has given none for too long.
    fn go_without(&mut self, why: FallbackReason) -> Next {
        if !self.is_overdue {
            self.fruitless += 1;
        }
        if self.fruitless >= FRUITLESS_ROUNDS {
            let text = "waited for in vain too often";
            return Next::Lost(Loss::fault(why, text));
        }
        if self.is_overdue && self.due_since.elapsed() > OVERDUE {
            return Next::Lost(Loss::fault(why, "overdue for too long"));
        }
        Next::Nothing(why)
    }
}
