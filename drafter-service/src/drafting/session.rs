//! One session: follows the committed text, sends blocks while it has credit, and keeps to the order of messages.

use std::time::{Duration, Instant};

use inference::engine::EngineError;
use proto::{
    BaseHash, CommittedText,
    drafter::{Block, CloseReason, DraftTimings, FromDrafter, ToDrafter, Verdict, Wish},
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use super::{
    proposer::{Alternative, Ask, Bounds, DraftState, Offer, Proposal, Proposer, agreement},
    stream::VerifierStream,
    unanswered::UnansweredBlocks,
};
use crate::{error::DraftError, metrics::Metrics};

/// Terms on which a session was opened.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// Limits of every block.
    pub(super) bounds: Bounds,
    /// Blocks that may be unanswered.
    pub(super) credit: u32,
    /// Most draft tokens that a wish may ask for.
    pub(super) most_tokens: u32,
    /// True if draws are sent, so that a draw that was rejected may not be sent again.
    pub(super) draws_whole: bool,
    /// True if blocks may have alternatives.
    pub(super) accepts_trees: bool,
}

/// A session that is open.
pub(super) struct Session {
    proposer: Box<dyn Proposer>,
    metrics: Metrics,
    /// Permit for one open session, released on drop.
    _permit: OwnedSemaphorePermit,
    committed: CommittedText,
    /// The committed text and, after it, what has been sent and may still be kept. The next block begins at its end.
    reply: Vec<u8>,
    unanswered: UnansweredBlocks,
    terms: Terms,
    /// Wish for the next block.
    wish: Wish,
    /// True if nothing can be sent before the next verdict.
    waits: bool,
    timings: DraftTimings,
    /// Time spent on the next block so far.
    drafting: Duration,
}

impl Session {
    /// A session in which nothing is committed.
    pub(super) fn new(
        proposer: Box<dyn Proposer>,
        (terms, first): (Terms, Wish),
        permit: OwnedSemaphorePermit,
        metrics: Metrics,
    ) -> Self {
        Self {
            proposer,
            metrics,
            _permit: permit,
            committed: CommittedText::default(),
            reply: Vec::new(),
            unanswered: UnansweredBlocks::new(terms.credit),
            terms,
            wish: first,
            waits: false,
            timings: DraftTimings::default(),
            drafting: Duration::ZERO,
        }
    }

    /// Begins with a reply that is committed so far; returns the number of positions that prompt and reply take up.
    pub(super) fn resume(&mut self, committed: CommittedText) -> usize {
        self.committed = committed;
        self.follow_committed(DraftState::Doubtful);
        self.proposer.positions()
    }

    /// Does the work that must be done before the session is open.
    pub(super) async fn prepare(&mut self, stream: &mut VerifierStream) -> Result<(), DraftError> {
        self.proposer.prepare(stream).await
    }

    /// Drafts until the verifier closes the session.
    pub(super) async fn run(
        mut self,
        stream: &mut VerifierStream,
    ) -> Result<CloseReason, DraftError> {
        loop {
            let message = if stream.has_message() || !self.may_draft() {
                self.wait(stream).await?
            } else {
                let span = tracing::info_span!(
                    "draft.block",
                    base = self.reply.len(),
                    round = self.unanswered.last_round() + 1,
                    tokens = tracing::field::Empty,
                    bytes = tracing::field::Empty,
                );
                self.draft(stream).instrument(span).await?;
                continue;
            };
            match message {
                ToDrafter::Verdict(verdict) => self.take_in(&verdict)?,
                ToDrafter::Close(reason) => return Ok(reason),
                ToDrafter::Open(_) => {
                    let expected = "a verdict or close";
                    return Err(DraftError::field("message", "open again", expected));
                }
            }
        }
    }

    /// The next message. While there is none, the proposer does its chores.
    async fn wait(&mut self, stream: &mut VerifierStream) -> Result<ToDrafter, DraftError> {
        while self.proposer.has_chores() && !stream.has_message() {
            match self.proposer.do_chore(&mut self.timings, stream).await {
                Ok(()) => {}
                // A later wait tries again.
                Err(DraftError::Engine(EngineError::Full { .. })) => break,
                Err(error) => return Err(error),
            }
        }
        stream.next().await
    }

    fn may_draft(&self) -> bool {
        self.unanswered.has_credit() && self.wish.tokens > 0 && !self.waits
    }

    /// Least probability of a token that is sent. Where draws are sent, none may be chosen by it.
    fn least_chance(&self) -> f64 {
        if self.terms.draws_whole {
            0.0
        } else {
            f64::from(self.wish.least_percent) / 100.0
        }
    }

    /// Drafts a block and sends it, unless a message arrives in the meantime: the draft stays, and the message decides.
    async fn draft(&mut self, stream: &mut VerifierStream) -> Result<(), DraftError> {
        let began = Instant::now();
        let ask = Ask {
            reply: &self.reply,
            aim: self.wish.tokens as usize,
            alternatives: self.wish.alternatives as usize,
            least_chance: self.least_chance(),
            bounds: self.terms.bounds,
            timings: &mut self.timings,
        };
        let offer = self.proposer.propose(ask, stream).await;
        self.drafting += began.elapsed();
        match offer {
            Ok(Offer::Proposal(proposal)) => self.send(proposal, stream).await,
            Ok(Offer::Nothing) => self.decline(stream).await,
            Ok(Offer::Interrupted) => Ok(()),
            Err(error @ DraftError::Engine(EngineError::Full { .. })) => {
                self.skip(error, stream).await
            }
            Err(error) => Err(error),
        }
    }

    /// Sends an empty block, unless an unanswered block has text that may still be kept.
    async fn decline(&mut self, stream: &mut VerifierStream) -> Result<(), DraftError> {
        self.waits = true;
        if self.reply.len() > self.committed.len() {
            return Ok(());
        }
        self.metrics.declined.inc();
        self.send(Proposal::default(), stream).await
    }

    async fn send(
        &mut self,
        proposal: Proposal,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        let base = self.reply.len();
        let base_hash = self.committed.hash_at(base);
        let base_hash = base_hash.unwrap_or_else(|| BaseHash::of(&self.reply));
        let Proposal {
            text,
            token_ends,
            ends_with,
            alternatives,
            draws,
        } = proposal;
        let (chain, tokens) = (text.clone(), token_ends.len() as u32);
        let (mut text, mut token_ends, mut parents) = (text, token_ends, Vec::new());
        if !alternatives.is_empty() {
            parents.extend(0..tokens);
        }
        for Alternative { after, text: bytes } in alternatives {
            text.extend_from_slice(&bytes);
            token_ends.push(text.len() as u32);
            parents.push(after);
        }
        self.metrics.blocks.inc();
        self.metrics.block_bytes.inc_by(text.len() as u64);
        let drafting = std::mem::take(&mut self.drafting);
        self.metrics.draft_seconds.observe(drafting.as_secs_f64());
        tracing::Span::current()
            .record("tokens", token_ends.len())
            .record("bytes", text.len());
        self.reply.extend_from_slice(&chain);
        // After the end of a reply there is nothing to draft before the verdict.
        self.waits |= ends_with.is_some();
        let block = Block {
            round: self.unanswered.enter(base, base_hash, chain),
            base_length: base as u64,
            base_hash,
            text,
            token_ends,
            ends_with,
            parents,
            draws,
            timings: std::mem::take(&mut self.timings),
        };
        stream.send(FromDrafter::Block(block)).await
    }

    /// Skips this block and says so; the next verdict starts the next one.
    async fn skip(
        &mut self,
        error: DraftError,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        self.waits = true;
        self.metrics.failed(error.reason());
        match error.failure() {
            Some(failure) => stream.send(FromDrafter::Failure(failure)).await,
            None => Err(error),
        }
    }

    fn take_in(&mut self, verdict: &Verdict) -> Result<(), DraftError> {
        let last = self.unanswered.last_round();
        if verdict.round > last {
            let expected = format!("at most {last}, the last one sent");
            return Err(DraftError::field(
                "verdict.round",
                verdict.round.to_string(),
                expected,
            ));
        }
        if let Some(next) = &verdict.next {
            next.check_within(self.terms.most_tokens, self.terms.accepts_trees)
                .map_err(|error| error.within("verdict.next"))?;
        }
        let answered = self.unanswered.answer(verdict, &mut self.committed);
        let presumed = answered.map_err(DraftError::Desynchronised)?;
        let draft = match presumed {
            true => DraftState::Presumed,
            false if self.terms.draws_whole && verdict.appended.is_empty() => DraftState::Void,
            false => DraftState::Doubtful,
        };
        self.wish = verdict.next.unwrap_or(self.wish);
        self.waits = false;
        self.metrics.verdicts.inc();
        self.follow_committed(draft);
        Ok(())
    }

    /// Makes the proposer and the base of the next block follow the committed text.
    fn follow_committed(&mut self, draft: DraftState) {
        let committed = self.committed.bytes();
        let still_fits = self.proposer.follow(committed, draft);
        if !still_fits || draft != DraftState::Presumed || !self.reply.starts_with(committed) {
            self.reply.truncate(agreement(&self.reply, committed));
            self.reply.extend_from_slice(&committed[self.reply.len()..]);
        }
    }
}
