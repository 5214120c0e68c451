//! One session: follows the committed text, drafts while it has credit, and never shows the model twice what it has seen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use inference::engine::{self, EngineError};
use proto::{
    BaseHash, CommittedText,
    drafter::{Block, CloseReason, DraftTimings, Draw, EndRole, FromDrafter, ToDrafter, Verdict},
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use super::{
    Drafter, Line,
    chooser::{Choice, Chooser, Chosen},
    context::{Bounds, Context, Proposal},
    ledger::Ledger,
};
use crate::error::DraftError;

/// Tokens that may wait to be shown to the model while nothing is drafted.
const LAG: usize = 16;

/// Room for a session. It is given back when this is dropped.
pub(super) struct Admission {
    /// Positions in the model's cache, none yet.
    pub(super) positions: engine::Session,
    /// One of the sessions that may be open.
    pub(super) permit: OwnedSemaphorePermit,
}

/// What a verdict says of what is drafted behind the committed text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Behind {
    /// Unanswered blocks may be good, so the next one goes on behind them if what they propose still stands.
    Presumed,
    /// It is sent again if it still stands.
    Doubtful,
    /// It is not sent again. A draw that was refused in favour of a token without bytes would still fit the text, but it has
    /// been judged: it no longer follows the law that it was drawn from.
    Void,
}

/// What a session has been opened with.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// What no block goes beyond.
    pub(super) bounds: Bounds,
    /// Blocks that may be unanswered.
    pub(super) credit: u32,
    /// Draft tokens that a verdict may ask for.
    pub(super) most_tokens: u32,
    /// Draft tokens that the first block aims at.
    pub(super) first_tokens: usize,
    /// How tokens are drawn is told, so that only whole code points are.
    pub(super) draws_whole: bool,
}

/// A session that is open.
pub(super) struct Session {
    drafter: Arc<Drafter>,
    /// The positions in the model's cache; all of them are right, but there may be fewer than tokens in the context.
    positions: engine::Session,
    _permit: OwnedSemaphorePermit,
    context: Context,
    /// Used on the model's thread while a pass is read, here in between.
    chooser: Arc<Mutex<Chooser>>,
    committed: CommittedText,
    ledger: Ledger,
    bounds: Bounds,
    most_tokens: u32,
    /// Draft tokens that the next block aims at; 0 is a pause.
    aim: usize,
    /// Bytes of the reply that have been sent or committed: where the next block begins.
    front: usize,
    /// How drafted tokens were drawn, by their place in the reply; empty where the method need not know.
    draws: BTreeMap<usize, Draw>,
    /// Only whole code points are drawn.
    draws_whole: bool,
    /// The model would end the reply behind what is drafted.
    ending: Option<EndRole>,
    /// Nothing can be sent before the next verdict.
    waits: bool,
    timings: DraftTimings,
    /// Time spent on the next block so far.
    drafting: Duration,
}

impl Session {
    /// A session in which nothing is committed.
    pub(super) fn new(
        drafter: Arc<Drafter>,
        admission: Admission,
        (context, chooser): (Context, Chooser),
        terms: Terms,
    ) -> Self {
        Self {
            drafter,
            positions: admission.positions,
            _permit: admission.permit,
            context,
            chooser: Arc::new(Mutex::new(chooser)),
            committed: CommittedText::default(),
            ledger: Ledger::new(terms.credit),
            bounds: terms.bounds,
            most_tokens: terms.most_tokens,
            aim: terms.first_tokens,
            front: 0,
            draws: BTreeMap::new(),
            draws_whole: terms.draws_whole,
            ending: None,
            waits: false,
            timings: DraftTimings::default(),
            drafting: Duration::ZERO,
        }
    }

    /// Begins with a reply that is committed so far; gives the number of tokens in the context.
    pub(super) fn resume(&mut self, committed: CommittedText) -> usize {
        self.committed = committed;
        self.follow_committed(Behind::Doubtful);
        self.context.ids().len()
    }

    /// Shows the model all tokens but the last, which the first draft token needs anyway.
    pub(super) async fn catch_up(&mut self, line: &mut Line) -> Result<(), DraftError> {
        let ids = self.context.ids();
        let unseen = self.positions.len()..ids.len() - 1;
        if !unseen.is_empty() {
            let pass = self.positions.forward(ids[unseen].to_vec(), 0, |_| ());
            line.unless_over(pass).await??;
        }
        Ok(())
    }

    /// Drafts until the verifier closes the session.
    pub(super) async fn run(mut self, line: &mut Line) -> Result<CloseReason, DraftError> {
        loop {
            let message = if line.has_message() || !self.may_draft() {
                self.wait(line).await?
            } else {
                let span = tracing::info_span!(
                    "draft.block",
                    base = self.front,
                    round = self.ledger.last_round() + 1,
                    tokens = tracing::field::Empty,
                    bytes = tracing::field::Empty,
                );
                self.draft(line).instrument(span).await?;
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

    /// The next message. While there is none, a session that lags behind catches up.
    async fn wait(&mut self, line: &mut Line) -> Result<ToDrafter, DraftError> {
        let lags = self.context.ids().len() > self.positions.len() + LAG;
        if lags && !line.has_message() {
            match self.catch_up(line).await {
                // There will be another time.
                Ok(()) | Err(DraftError::Engine(EngineError::Full { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let began = Instant::now();
        let message = line.next().await?;
        self.timings.wait += began.elapsed();
        Ok(message)
    }

    fn may_draft(&self) -> bool {
        self.ledger.has_credit() && self.aim > 0 && !self.waits
    }

    /// Drafts a block and sends it, unless a message comes in between: what is drafted stays, and the message decides.
    async fn draft(&mut self, line: &mut Line) -> Result<(), DraftError> {
        let is_split = self.context.unfinished(self.front) > 0;
        if !self.context.is_complete() || self.draws_whole && is_split {
            return self.skip(DraftError::Nothing, line).await;
        }
        let began = Instant::now();
        let enough = |session: &Self| {
            let (context, aim) = (&session.context, session.aim.min(session.bounds.tokens));
            session.ending.is_some() || context.is_enough(session.front, aim, session.bounds)
        };
        while !enough(self) {
            match self.step(line).await {
                Ok(()) => {}
                Err(error @ DraftError::Engine(EngineError::Full { .. })) => {
                    return self.skip(error, line).await;
                }
                Err(error) => return Err(error),
            }
            if line.has_message() {
                self.drafting += began.elapsed();
                return Ok(());
            }
        }
        self.drafting += began.elapsed();
        let proposal = self.context.proposal(self.front, self.bounds);
        let is_all = proposal.as_ref().is_none_or(|proposal| proposal.is_all);
        let ends_with = self
            .ending
            .filter(|_| is_all && self.is_whole(proposal.as_ref()));
        if proposal.is_none() && ends_with.is_none() {
            return self.skip(DraftError::Nothing, line).await;
        }
        let proposal = proposal.unwrap_or_else(Proposal::nothing);
        self.send(proposal, ends_with, line).await
    }

    /// Whether a block with this proposal leads to the end of what is drafted.
    fn is_whole(&self, proposal: Option<&Proposal>) -> bool {
        self.front + proposal.map_or(0, |proposal| proposal.text.len()) == self.context.text().len()
    }

    /// Drafts one token, in one pass with all tokens that the model has not seen.
    async fn step(&mut self, line: &mut Line) -> Result<(), DraftError> {
        let last = self.context.ids().len() - 1;
        self.positions.truncate(last);
        let unseen = self.context.ids()[self.positions.len()..].to_vec();
        let offset = self.context.text().len() as u64;
        let chooser = Arc::clone(&self.chooser);
        let choose = move |logits: engine::Logits<'_>| lock(&chooser).choose(logits.row(0), offset);
        let pass = self.positions.forward(unseen, 1, choose);
        let passed = line.unless_over(pass).await??;
        self.timings.compute += passed.compute;
        self.timings.queue += passed.queued;
        let metrics = &self.drafter.metrics;
        metrics.queue_seconds.observe(passed.queued.as_secs_f64());
        let Chosen { choice, draw } = passed.value?;
        match choice {
            Choice::Token(id) => {
                metrics.draft_tokens.inc();
                if let Some(draw) = draw {
                    self.draws.insert(self.context.reply().len(), draw);
                }
                self.context.push(id);
            }
            Choice::End(role) => self.ending = Some(role),
        }
        Ok(())
    }

    async fn send(
        &mut self,
        proposal: Proposal,
        ends_with: Option<EndRole>,
        line: &mut Line,
    ) -> Result<(), DraftError> {
        let base = self.front;
        let base_hash = self.committed.hash_at(base);
        let base_hash = base_hash.unwrap_or_else(|| BaseHash::of(&self.context.text()[..base]));
        let metrics = &self.drafter.metrics;
        metrics.blocks.inc();
        metrics.block_bytes.inc_by(proposal.text.len() as u64);
        metrics
            .draft_seconds
            .observe(std::mem::take(&mut self.drafting).as_secs_f64());
        tracing::Span::current()
            .record("tokens", proposal.token_ends.len())
            .record("bytes", proposal.text.len());
        let Proposal {
            text, token_ends, ..
        } = proposal;
        let first = self.context.first_behind(base);
        let sent = self.draws.range(first..first + token_ends.len());
        let draws: Vec<Draw> = sent.map(|(_, draw)| draw.clone()).collect();
        self.front += text.len();
        // Behind the end of a reply there is nothing to draft ahead of the verdict.
        self.waits = ends_with.is_some();
        let block = Block {
            round: self.ledger.enter(base, base_hash, text.clone()),
            base_length: base as u64,
            base_hash,
            text,
            token_ends,
            ends_with,
            parents: Vec::new(),
            draws,
            timings: std::mem::take(&mut self.timings),
        };
        line.say(FromDrafter::Block(block)).await
    }

    /// Gives this block up and says so; the next verdict starts the next one.
    async fn skip(&mut self, error: DraftError, line: &mut Line) -> Result<(), DraftError> {
        self.waits = true;
        self.drafter.metrics.failed(error.reason());
        match error.failure() {
            Some(failure) => line.say(FromDrafter::Failure(failure)).await,
            None => Err(error),
        }
    }

    fn take_in(&mut self, verdict: &Verdict) -> Result<(), DraftError> {
        let last = self.ledger.last_round();
        if verdict.round > last {
            let expected = format!("at most {last}, the last one sent");
            return Err(DraftError::field(
                "verdict.round",
                verdict.round.to_string(),
                expected,
            ));
        }
        let tokens = verdict.next_block_tokens;
        if tokens > self.most_tokens {
            let expected = format!("at most {}, as the session was opened", self.most_tokens);
            return Err(DraftError::field(
                "verdict.next_block_tokens",
                tokens.to_string(),
                expected,
            ));
        }
        let answered = self.ledger.answer(verdict, &mut self.committed);
        let presumed = answered.map_err(DraftError::Desynchronised)?;
        let behind = match presumed {
            true => Behind::Presumed,
            false if self.draws_whole && verdict.appended.is_empty() => Behind::Void,
            false => Behind::Doubtful,
        };
        self.aim = tokens as usize;
        self.waits = false;
        self.drafter.metrics.verdicts.inc();
        self.follow_committed(behind);
        Ok(())
    }

    /// Brings context, choices and positions in line with the committed text.
    fn follow_committed(&mut self, behind: Behind) {
        let drafted = self.context.text().len();
        let agreed = agreement(self.context.text(), self.committed.bytes());
        lock(&self.chooser).learn(self.committed.bytes(), agreed);
        let mut followed = self.context.follow(self.committed.bytes());
        if behind == Behind::Void {
            self.context.forget_behind(self.committed.len());
            followed.unchanged = followed.unchanged.min(self.context.reply().len());
        }
        let reply = self.context.reply();
        let changed = followed.unchanged < reply.len() || self.context.text().len() < drafted;
        if changed || behind != Behind::Presumed || self.committed.len() > self.front {
            self.front = self.committed.len();
        }
        if changed {
            self.ending = None;
            self.draws.retain(|at, _| *at < followed.unchanged);
            lock(&self.chooser).follow(reply, followed.unchanged);
        }
        self.draws = self
            .draws
            .split_off(&self.context.first_behind(self.committed.len()));
        self.positions
            .truncate(self.context.prompt_len() + followed.unchanged);
        let metrics = &self.drafter.metrics;
        metrics.kept_tokens.inc_by(followed.kept as u64);
        metrics.dropped_tokens.inc_by(followed.dropped as u64);
    }
}

/// How many bytes two texts have in common at the beginning.
fn agreement(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(one, other)| one == other).count()
}

fn lock(chooser: &Mutex<Chooser>) -> MutexGuard<'_, Chooser> {
    // Whoever panicked has taken the model's thread along.
    chooser.lock().unwrap_or_else(PoisonError::into_inner)
}
