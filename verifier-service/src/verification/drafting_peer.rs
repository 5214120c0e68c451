//! A session's dealings with drafters: opens a stream, takes blocks in while other work goes on, gives out the one that continues
//! the committed text, tells what became of it, and joins again when a stream is lost.
//!
//! Everything here has a bound. A round waits for its block once, up to the deadline; a drafter that let it pass is not waited
//! for again before it has delivered. Whatever a drafter does, the worst that comes of it is a round without a proposal.

mod continuation;
mod loss;
mod pace;
mod stream;
mod waste;

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use alignment::acceptance::Method;
use chassis::{channel::Backoff, lifecycle::Lifecycle, trace};
use inference::engine::Engine;
use proto::{
    CommittedText,
    drafter::{CloseReason, DraftSession, DraftTimings, Draw, EndRole, Open, Traffic, Way, Wish},
    model::Fingerprint,
    verifier::FallbackReason,
};
use tokio::time::timeout_at;
use tracing::Instrument as _;

use super::{
    Verifier,
    block::Block,
    plan::{Plan, Telling},
};
use crate::{
    drafters::{Drafters, Lease, Rest},
    lexicon::{Lexicon, LexiconError, Lexicons},
};
use loss::Loss;
pub(crate) use pace::Costs;
use pace::Pace;
use stream::{Judged, Next, Stream, Trial};
pub(crate) use waste::Dropped;
use waste::Waste;

/// How long to wait before a session joins a drafter again, at first and at most.
const FIRST_REJOIN: Duration = Duration::from_millis(100);
const LAST_REJOIN: Duration = Duration::from_secs(5);
/// How long a stream may take to open.
const OPENING: Duration = Duration::from_secs(10);

/// One session's drafter, if it has one.
pub(crate) struct DraftingPeer {
    drafters: Drafters,
    lifecycle: Lifecycle,
    lexicons: Lexicons,
    method: Method,
    /// Where the target's sessions are counted.
    engine: Engine,
    /// What to ask for; its committed text is filled in when a stream is opened.
    open: Open,
    pace: Pace,
    committed: CommittedText,
    state: State,
    rejoin: Backoff,
    /// Something usable came since the last loss.
    is_worth_rejoining: bool,
    waste: Waste,
    /// Of streams that are gone.
    traffic: Traffic,
}

enum State {
    /// The request turned speculation off.
    Off,
    /// There is no stream, for this reason. `None`: there will be none.
    Absent(FallbackReason, Option<Instant>),
    /// Nothing is wanted of the drafter for now, so it need not read the prompt.
    Resting(Rest),
    /// A stream is being opened.
    Opening(Box<Opening>),
    /// There is a stream.
    Open(Box<Stream>),
}

struct Opening {
    lease: Lease,
    /// The block that the drafter is asked to begin with.
    first: Wish,
    /// Bytes of the reply that the drafter will know of.
    told: usize,
    since: Instant,
    /// A round has waited for it already.
    is_late: bool,
    session: Pin<Box<dyn Future<Output = Result<OpenSession, LexiconError>> + Send>>,
}

/// A session, and how to read the ids that it sends, if it does, with the fingerprint of their vocabulary.
type OpenSession = (DraftSession, Option<(Lexicon, Fingerprint)>);

/// Bytes that may follow the committed text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposal {
    pub(crate) text: Vec<u8>,
    /// Where in `text` each draft token ends.
    pub(crate) token_ends: Vec<u32>,
    /// Other ways to go on, the likeliest first.
    pub(crate) alternatives: Vec<Way>,
    /// The drafter ends the reply behind it.
    pub(crate) ends_with: Option<EndRole>,
    pub(crate) timings: DraftTimings,
    /// How the tokens were drawn, and the end that is proposed; empty where the method need not know.
    pub(crate) draws: Vec<Draw>,
    /// How to read their ids.
    pub(crate) lexicon: Option<Lexicon>,
    /// When the block arrived. `None`: there is none.
    pub(crate) arrived: Option<Instant>,
    /// Bytes at the beginning of the block that had been committed by then.
    pub(crate) skipped_bytes: u32,
    /// From asking for the block to having it; `None` for the first, which waited for the drafter to read the prompt.
    latency: Option<Duration>,
    /// Tokens of the whole block, those that had been committed among them.
    pub(crate) drafted: usize,
}

/// A pass of the target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    /// Rows of all sessions.
    pub(crate) batch_rows: usize,
    pub(crate) took: Duration,
}

impl DraftingPeer {
    /// For one reply. Begins to open a stream, if the plan wants one; that goes on in [`DraftingPeer::during`].
    pub(crate) fn new(verifier: &Verifier, plan: &Plan) -> Self {
        let soon = State::Absent(FallbackReason::NoDrafter, Some(Instant::now()));
        let mut peer = Self {
            drafters: verifier.drafter_pool().clone(),
            lifecycle: verifier.lifecycle().clone(),
            lexicons: verifier.lexicons().clone(),
            method: plan.method,
            engine: verifier.target().engine().clone(),
            state: if plan.speculates { soon } else { State::Off },
            open: plan.open.clone(),
            pace: Pace::new(plan, verifier.costs().clone()),
            committed: CommittedText::default(),
            rejoin: Backoff::new(FIRST_REJOIN, LAST_REJOIN),
            is_worth_rejoining: false,
            waste: Waste::new(plan.telling == Telling::Details),
            traffic: Traffic::default(),
        };
        peer.join_when_due();
        peer
    }

    /// Does `work` and meanwhile takes in what the drafter sends.
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

    /// The block that continues the committed text, or why there is none. Waits up to the deadline, and not at all for a
    /// drafter that is overdue.
    pub(crate) async fn propose(&mut self) -> Result<Proposal, FallbackReason> {
        self.join_when_due();
        if let Some(deadline) = self.opening_deadline()
            && !self.pace.is_trial()
            && timeout_at(deadline.into(), self.advance()).await.is_err()
            && let State::Opening(opening) = &mut self.state
        {
            opening.is_late = true;
        }
        let taken = match &mut self.state {
            State::Off => return Err(FallbackReason::Off),
            State::Absent(why, _) => return Err(*why),
            State::Resting(_) => return Err(FallbackReason::Paused),
            State::Opening(opening) if opening.since.elapsed() > OPENING => {
                let text = "the stream was never opened";
                opening.lease.failed(text);
                Next::Lost(Loss::new(FallbackReason::Failed, text))
            }
            State::Opening(_) => return Err(FallbackReason::Opening),
            State::Open(_) if self.pace.next() == 0 => return Err(FallbackReason::Paused),
            State::Open(stream) if self.pace.is_trial() => {
                match stream.try_out(&self.committed, &mut self.waste) {
                    Trial::Stands(proposal) => Next::Block(*proposal),
                    Trial::Waits => return Err(FallbackReason::Paused),
                    Trial::Over(judged) => {
                        let Judged {
                            drafted,
                            stood,
                            compute,
                            latency,
                        } = judged;
                        self.pace.delivered(drafted, compute, Some(latency));
                        self.pace.tried(drafted, stood);
                        self.note_trial();
                        return Err(FallbackReason::Paused);
                    }
                }
            }
            State::Open(stream) => {
                let patience = self.pace.patience(others(&self.engine));
                stream
                    .take(&self.committed, patience, &mut self.waste)
                    .await
            }
        };
        match taken {
            Next::Block(proposal) => {
                self.rejoin.reset();
                self.is_worth_rejoining = true;
                let compute = proposal.timings.compute_of(proposal.drafted);
                self.pace
                    .delivered(proposal.drafted, compute, proposal.latency);
                Ok(proposal)
            }
            Next::Nothing(why) => Err(why),
            Next::Lost(loss) => Err(self.lose(&loss)),
        }
    }

    /// Learns from a round that the reply goes on after: which way of the block stands, and what its pass took.
    pub(crate) fn learn(&mut self, block: &Block, path: &[usize], pass: Pass) {
        let (outcome, tried) = (block.outcome(path), block.tried(path));
        if let (State::Open(stream), Some(outcome)) = (&self.state, outcome) {
            stream.judged(outcome, &tried);
        }
        let is_trial = self.pace.is_trying();
        // Neither says anything of what blocks are worth: there was none.
        let had_none = matches!(
            block.fallback,
            Some(FallbackReason::NothingUsable | FallbackReason::Opening)
        );
        if had_none && block.proposal.text.is_empty() {
            self.pace.declined(pass, others(&self.engine));
        } else {
            self.pace
                .learn(outcome, &tried, (pass, others(&self.engine)));
        }
        if is_trial {
            self.note_trial();
        } else if self.pace.rests() {
            self.try_when_due();
        }
    }

    /// Begins a trial where it rests beside others and its turn has come.
    fn try_when_due(&mut self) {
        // Alone it keeps count itself.
        if others(&self.engine) > 0 && self.rest().is_some_and(|rest| rest.pass()) {
            self.pace.try_out();
        }
    }

    /// Tells others what has come of a trial, if it is over.
    fn note_trial(&self) {
        if let Some(rest) = self.rest().filter(|_| !self.pace.is_trying()) {
            rest.tried(!self.pace.rests());
        }
    }

    /// Where sessions of its drafter count their rounds at rest.
    fn rest(&self) -> Option<Rest> {
        match &self.state {
            State::Open(stream) => Some(stream.rest()),
            State::Opening(opening) => Some(opening.lease.rest()),
            State::Resting(rest) => Some(rest.clone()),
            State::Off | State::Absent(..) => None,
        }
    }

    /// Tells the drafter how the reply goes on: the first `kept` bytes of the last proposal, then `appended`.
    pub(crate) fn commit(&mut self, kept: &[u8], appended: &[u8]) {
        if matches!(self.state, State::Off) {
            return;
        }
        let both = self
            .committed
            .append(kept)
            .and_then(|()| self.committed.append(appended));
        let told = match (&mut self.state, both) {
            (State::Open(stream), Ok(())) => {
                stream.aim(wish(&self.pace));
                stream.tell_when_due(&self.committed, kept.len() as u32, appended)
            }
            // A reply longer than any drafter may be told of goes on without one.
            (_, Err(_)) => Err(Loss::for_good("the reply is too long to be drafted")),
            (_, Ok(())) => Ok(()),
        };
        if let Err(loss) = told {
            self.lose(&loss);
        }
    }

    /// Blocks dropped so far because they continued another text.
    pub(crate) fn stale_blocks(&self) -> u32 {
        self.waste.stale_blocks()
    }

    /// Blocks dropped since this was last asked, where the request wants to know.
    pub(crate) fn take_dropped(&mut self) -> Vec<Dropped> {
        self.waste.take()
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

    /// Ends the session in good order.
    pub(crate) fn finish(&mut self) {
        self.traffic = self.traffic();
        if let State::Open(stream) = std::mem::replace(&mut self.state, State::Off) {
            stream.close(CloseReason::Finished, &self.lifecycle);
        }
    }

    /// Goes one step on: a stream opened, a block taken in, or a loss noticed. Never returns where nothing can happen. Nothing
    /// is lost when the future is dropped.
    async fn advance(&mut self) {
        match &mut self.state {
            State::Off | State::Absent(..) | State::Resting(_) => std::future::pending().await,
            State::Open(stream) => {
                if let Err(loss) = stream.receive().await {
                    self.lose(&loss);
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
            lease, first, told, ..
        } = *opening;
        let begun = match session {
            Ok(session) => {
                Stream::begin(lease, session, &self.open, first).and_then(|mut stream| {
                    stream.aim(wish(&self.pace));
                    stream.catch_up(&self.committed, told)?;
                    Ok(stream)
                })
            }
            Err(error) => Err(Loss::of_opening(&lease, &error)),
        };
        match begun {
            Ok(stream) => self.state = State::Open(Box::new(stream)),
            Err(loss) => {
                self.lose(&loss);
            }
        }
    }

    /// The drafter has sent what breaks the protocol, in a way that showed late. Goes on without the stream.
    pub(crate) fn accuse(&mut self, text: String) {
        self.lose(&Loss::fault(FallbackReason::Protocol, text));
    }

    /// Opens a stream if there is none and the time for it has come.
    fn join_when_due(&mut self) {
        let has_rested = match self.state {
            State::Absent(_, Some(due)) if Instant::now() >= due => false,
            State::Resting(_) if self.pace.next() > 0 => true,
            _ => return,
        };
        match self.drafters.lease(self.lexicons.wanted(self.method)) {
            Ok(lease) => {
                if !has_rested {
                    self.pace.begin(lease.experience(), others(&self.engine));
                }
                self.state = if self.pace.next() > 0 {
                    State::Opening(Box::new(self.begin(lease)))
                } else {
                    State::Resting(lease.rest())
                };
            }
            Err(why) => self.state = State::Absent(why, Some(self.next_attempt())),
        }
    }

    fn begin(&self, lease: Lease) -> Opening {
        // A session cannot be opened with a pause, and begins with a chain.
        let first = Wish {
            tokens: self.pace.next().max(1) as u32,
            alternatives: 0,
            ..wish(&self.pace)
        };
        let open = Open {
            committed: self.committed.bytes().to_vec(),
            first: Some(first),
            ..self.open.clone()
        };
        let mut client = lease.client();
        let (method, lexicons) = (self.method, self.lexicons.clone());
        let session = async move {
            let mut open = open;
            let mut lexicon = None;
            if method.needs_ids() {
                let (read, fingerprint) = lexicons.of(method, client.clone()).await?;
                open.drawable = read.drawable(method);
                open.expected_fingerprint = Some(fingerprint);
                lexicon = Some((read, fingerprint));
            }
            Ok((client.draft(trace::request(open)).await?, lexicon))
        };
        Opening {
            lease,
            first,
            told: self.committed.len(),
            since: Instant::now(),
            is_late: false,
            session: Box::pin(session.in_current_span()),
        }
    }

    fn opening_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Opening(opening) if !opening.is_late => {
                Some(opening.since + opening.lease.opening_patience())
            }
            _ => None,
        }
    }

    /// Goes on without the stream. Gives the reason for this round's fallback.
    fn lose(&mut self, loss: &Loss) -> FallbackReason {
        self.traffic = self.traffic();
        let again = loss.may_rejoin.then(|| self.next_attempt());
        let absent = State::Absent(loss.why, again);
        if let State::Open(stream) = std::mem::replace(&mut self.state, absent) {
            stream.blame(loss);
            stream.close(CloseReason::Dismissed, &self.lifecycle);
        }
        tracing::debug!(why = %loss.why, text = loss.text, "goes on without a drafter");
        loss.why
    }

    /// At once after a drafter that was of use, else after a while.
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
            stream.close(CloseReason::Cancelled, &self.lifecycle);
        }
    }
}

/// The block that is wanted next.
fn wish(pace: &Pace) -> Wish {
    Wish {
        tokens: pace.next() as u32,
        alternatives: pace.alternatives() as u32,
        least_percent: pace.least_percent(),
    }
}

/// Sessions of the model besides one.
fn others(engine: &Engine) -> usize {
    engine.load_now().sessions.saturating_sub(1)
}
