//! Transport of one session to its drafter: opens a stream, receives blocks while other work goes
//! on, finds the one that continues the committed text, sends verdicts, and rejoins after a loss.
//!
//! [`pacing`] decides how much is drafted. A round waits for its block once, as long as the wish
//! allows; a drafter that missed a deadline is waited for again only after it has delivered.
//! Whatever a drafter does, the worst outcome is a round without a proposal.

mod dropped_blocks;
mod opening;
mod remainder;
mod stream;
mod stream_error;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use alignment::acceptance::Method;
use chassis::channel::Backoff;
use pacing::{BlockFate, Round, Wish};
use proto::{
    CommittedText,
    drafter::{self, CloseReason, Open, Traffic},
    verifier::{FallbackReason, RoundReport},
};
use tokio::time::timeout_at;

use super::{pacing::Pacing, proposal::Proposal, request_plan::RequestPlan, shared::Shared};
use crate::{
    drafters::{IdleDrafter, Lease},
    lexicon::LexiconError,
};
pub(crate) use dropped_blocks::Dropped;
use dropped_blocks::DroppedBlocks;
use opening::{OpenSession, Opening};
use stream::{Next, Stream};
use stream_error::StreamError;

/// Wait before a session joins a drafter again, at first and at most.
const FIRST_REJOIN: Duration = Duration::from_millis(100);
const LAST_REJOIN: Duration = Duration::from_secs(5);

/// One session's drafter, if it has one.
pub(crate) struct DraftingPeer {
    shared: Arc<Shared>,
    method: Method,
    /// Message that opens a stream; its committed text is filled in then.
    open: Open,
    /// Block wanted for the next round, here and on the wire.
    wish: Wish,
    sent_wish: drafter::Wish,
    committed: CommittedText,
    state: State,
    rejoin: Backoff,
    /// True if a usable block came since the last loss.
    is_worth_rejoining: bool,
    dropped: DroppedBlocks,
    /// Fate of this round's block, where it was not verified.
    fate: BlockFate,
    /// Bytes of messages on former streams.
    traffic: Traffic,
}

enum State {
    /// The request turned speculation off, or the reply has ended.
    Off,
    /// There is no stream, for this reason. The next attempt is at this moment, or never if `None`.
    Absent(FallbackReason, Option<Instant>),
    /// The drafter is idle and has no stream, so it need not read the prompt.
    Idle(IdleDrafter),
    /// A stream is being opened.
    Opening(Box<Opening>),
    /// There is a stream.
    Open(Box<Stream>),
}

impl DraftingPeer {
    /// Peer of one reply. A stream that the request wants is opened in [`DraftingPeer::during`].
    pub(crate) fn new(shared: Arc<Shared>, plan: &RequestPlan, pacing: &Pacing) -> Self {
        let soon = State::Absent(FallbackReason::NoDrafter, Some(Instant::now()));
        let mut peer = Self {
            shared,
            method: plan.method,
            state: if plan.speculates { soon } else { State::Off },
            open: plan.open.clone(),
            wish: Wish::Plain,
            sent_wish: drafter::Wish::default(),
            committed: CommittedText::default(),
            rejoin: Backoff::new(FIRST_REJOIN, LAST_REJOIN),
            is_worth_rejoining: false,
            dropped: DroppedBlocks::new(plan.report.rounds == RoundReport::Details),
            fate: BlockFate::None,
            traffic: Traffic::default(),
        };
        peer.join_when_due(pacing);
        peer
    }

    /// Runs `work` and meanwhile receives from the drafter.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.advance() => {}
            }
        }
    }

    /// The block that continues the committed text, or the reason for having none. Waits as long as
    /// the wish allows, and not at all for a drafter that is overdue.
    pub(crate) async fn propose(&mut self, pacing: &Pacing) -> Result<Proposal, FallbackReason> {
        self.fate = BlockFate::None;
        self.join_when_due(pacing);
        let wait = match self.wish {
            Wish::Draft { wait, .. } => wait,
            Wish::Plain | Wish::Probe { .. } => Duration::ZERO,
        };
        if let State::Opening(opening) = &self.state
            && wait > Duration::ZERO
            && let Some(deadline) = opening.deadline(wait)
            && timeout_at(deadline.into(), self.advance()).await.is_err()
            && let State::Opening(opening) = &mut self.state
        {
            opening.is_late = true;
        }
        let next = match &mut self.state {
            State::Off => return Err(FallbackReason::Off),
            State::Absent(why, _) => return Err(*why),
            State::Idle(_) => return Err(FallbackReason::Paused),
            State::Opening(opening) if opening.is_overdue() => {
                let text = "the stream was never opened";
                opening.lease.failed(text);
                Next::Lost(StreamError::new(FallbackReason::Failed, text))
            }
            State::Opening(_) => {
                self.fate = BlockFate::Opening;
                return Err(FallbackReason::Opening);
            }
            State::Open(stream) => match self.wish {
                Wish::Plain => return Err(FallbackReason::Paused),
                Wish::Probe { .. } => stream.probed(&self.committed, &mut self.dropped),
                Wish::Draft { .. } => stream.take(&self.committed, wait, &mut self.dropped).await,
            },
        };
        match next {
            Next::Block(proposal) => {
                self.rejoin.reset();
                self.is_worth_rejoining = true;
                Ok(proposal)
            }
            Next::Nothing(why, fate) => {
                self.fate = fate;
                Err(why)
            }
            Next::Lost(error) => Err(self.lose(&error)),
        }
    }

    /// True if the drafter is asked for a block in this round.
    pub(crate) fn is_asked(&self) -> bool {
        let has_stream = matches!(self.state, State::Open(_) | State::Opening(_));
        has_stream && self.wish != Wish::Plain
    }

    /// Fate of this round's block, where it was not verified.
    pub(crate) fn fate(&self) -> BlockFate {
        self.fate
    }

    /// Takes in a round, whose pass had `rows` of all sessions, and settles the next wish.
    pub(crate) fn observe(&mut self, round: &Round, rows: usize, pacing: &mut Pacing) {
        let scene = pacing.passed(round, rows);
        let wish = match &self.state {
            State::Off | State::Absent(..) => return,
            State::Idle(drafter) => drafter.learn(|known| pacing.observe(round, known, &scene)),
            State::Opening(opening) => {
                let lease = &opening.lease;
                lease.learn(|known| pacing.observe(round, known, &scene))
            }
            State::Open(stream) => {
                let lease = stream.lease();
                lease.learn(|known| pacing.observe(round, known, &scene))
            }
        };
        self.want(wish, pacing);
    }

    /// Asks for no more blocks until the next round is observed.
    pub(crate) fn rest(&mut self, pacing: &Pacing) {
        if self.wish != Wish::Plain {
            self.want(Wish::Plain, pacing);
        }
    }

    fn want(&mut self, wish: Wish, pacing: &Pacing) {
        self.wish = wish;
        self.sent_wish = pacing.on_the_wire(wish);
    }

    /// Commits `kept` bytes of the last proposal, then `appended`. Sends a verdict when due.
    pub(crate) fn commit(&mut self, kept: &[u8], appended: &[u8]) {
        if matches!(self.state, State::Off) {
            return;
        }
        let both = self
            .committed
            .append(kept)
            .and_then(|()| self.committed.append(appended));
        let sent = match (&mut self.state, both) {
            (State::Open(stream), Ok(())) => {
                stream.want(self.sent_wish);
                stream.send_when_due(&self.committed, kept.len() as u32, appended)
            }
            // A reply longer than the protocol allows goes on without a drafter.
            (_, Err(_)) => Err(StreamError::for_good("the reply is too long to be drafted")),
            (_, Ok(())) => Ok(()),
        };
        if let Err(error) = sent {
            self.lose(&error);
        }
    }

    /// Number of blocks dropped so far because they continued another text.
    pub(crate) fn stale_blocks(&self) -> u32 {
        self.dropped.stale_blocks()
    }

    /// Blocks dropped since the last call, where the request asks for them.
    pub(crate) fn take_dropped(&mut self) -> Vec<Dropped> {
        self.dropped.take()
    }

    /// Bytes of messages so far, all streams together.
    pub(crate) fn traffic(&self) -> Traffic {
        let now = match &self.state {
            State::Open(stream) => stream.traffic(),
            _ => Traffic::default(),
        };
        Traffic {
            sent: self.traffic.sent + now.sent,
            received: self.traffic.received + now.received,
        }
    }

    /// Ends the session with its reply.
    pub(crate) fn finish(&mut self) {
        self.traffic = self.traffic();
        if let State::Open(stream) = std::mem::replace(&mut self.state, State::Off) {
            stream.close(CloseReason::Finished, self.shared.lifecycle());
        }
    }

    /// Gives up the stream for a fault that showed only when its block was used.
    pub(crate) fn accuse(&mut self, text: String) {
        self.lose(&StreamError::fault(FallbackReason::Protocol, text));
    }

    /// Goes one step: opens a stream, receives a block, or notices a loss. Never returns where
    /// nothing can happen. Cancel-safe.
    async fn advance(&mut self) {
        match &mut self.state {
            State::Off | State::Absent(..) | State::Idle(_) => std::future::pending().await,
            State::Open(stream) => {
                if let Err(error) = stream.receive().await {
                    self.lose(&error);
                }
            }
            State::Opening(opening) => {
                let session = opening.session.as_mut().await;
                self.opened(session);
            }
        }
    }

    fn opened(&mut self, session: Result<OpenSession, LexiconError>) {
        let soon = State::Absent(FallbackReason::Opening, Some(Instant::now()));
        let State::Opening(opening) = std::mem::replace(&mut self.state, soon) else {
            return;
        };
        let Opening {
            lease, first, sent, ..
        } = *opening;
        let begun = match session {
            Ok(session) => {
                Stream::begin(lease, session, &self.open, first).and_then(|mut stream| {
                    stream.want(self.sent_wish);
                    stream.catch_up(&self.committed, sent)?;
                    Ok(stream)
                })
            }
            Err(error) => Err(StreamError::of_opening(&lease, &error)),
        };
        match begun {
            Ok(stream) => self.state = State::Open(Box::new(stream)),
            Err(error) => {
                self.lose(&error);
            }
        }
    }

    /// Opens a stream if there is none, one is wanted, and it is due.
    fn join_when_due(&mut self, pacing: &Pacing) {
        let is_due = match self.state {
            State::Absent(_, Some(due)) => Instant::now() >= due,
            State::Idle(_) => self.wish != Wish::Plain,
            _ => false,
        };
        if !is_due {
            return;
        }
        match self.shared.lease(self.method) {
            Ok(lease) => {
                if matches!(self.state, State::Absent(..)) {
                    let scene = pacing.scene();
                    self.want(lease.learn(|known| pacing.wish(known, &scene)), pacing);
                }
                self.state = if self.wish == Wish::Plain {
                    State::Idle(lease.idle())
                } else {
                    State::Opening(Box::new(self.opening(lease)))
                };
            }
            Err(why) => self.state = State::Absent(why, Some(self.next_attempt())),
        }
    }

    fn opening(&self, lease: Lease) -> Opening {
        let open = Open {
            committed: self.committed.bytes().to_vec(),
            // The first block is always a chain.
            first: Some(drafter::Wish {
                alternatives: 0,
                ..self.sent_wish
            }),
            ..self.open.clone()
        };
        Opening::new(lease, open, self.method, self.shared.lexicons().clone())
    }

    /// Gives up the stream. Returns the reason for this round's fallback.
    fn lose(&mut self, error: &StreamError) -> FallbackReason {
        self.traffic = self.traffic();
        let again = error.may_rejoin.then(|| self.next_attempt());
        let absent = State::Absent(error.why, again);
        if let State::Open(stream) = std::mem::replace(&mut self.state, absent) {
            stream.blame(error);
            stream.close(CloseReason::Dismissed, self.shared.lifecycle());
        }
        tracing::debug!(why = %error.why, text = error.text, "goes on without a drafter");
        error.why
    }

    /// Moment of the next attempt: at once after a useful drafter, else after a backoff.
    fn next_attempt(&mut self) -> Instant {
        if std::mem::take(&mut self.is_worth_rejoining) {
            return Instant::now();
        }
        Instant::now() + self.rejoin.next().unwrap_or(LAST_REJOIN)
    }
}

impl Drop for DraftingPeer {
    fn drop(&mut self) {
        if let State::Open(stream) = std::mem::replace(&mut self.state, State::Off) {
            stream.close(CloseReason::Cancelled, self.shared.lifecycle());
        }
    }
}
