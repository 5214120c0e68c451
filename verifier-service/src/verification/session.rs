//! One reply, from prompt to end. Dropping it frees the target's session and cancels the drafter's.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alignment::{TargetToken, reencode::TAIL_TOKENS};
use inference::engine;
use proto::verifier::{Finish, FinishReason, Part};
use tokio::{sync::mpsc, time::timeout};
use tracing::{Instrument as _, field::Empty, info_span};

use super::{
    decider::{Decider, End, Stop},
    drafting_peer::DraftingPeer,
    grammar_walk::GrammarWalk,
    latency::Latency,
    logprobs::ReplyTokens,
    pacing::Pacing,
    prediction::Prediction,
    reply_text::ReplyText,
    request_plan::RequestPlan,
    shared::Shared,
    span,
    usage_account::UsageAccount,
};
use crate::{admission::Permit, error::GenerateError, target::Target};

/// Longest time that a client may leave a full connection unread.
const UNREAD: Duration = Duration::from_mins(1);
/// Most parts of a reply that wait to be sent.
const OUTBOX: usize = 16;

/// Sending end of a reply's parts.
pub(super) type Outbox = mpsc::Sender<Result<Part, GenerateError>>;
/// Receiving end of a reply's parts.
pub(crate) type Parts = mpsc::Receiver<Result<Part, GenerateError>>;

/// One reply.
pub(crate) struct Session {
    pub(super) target: Arc<Target>,
    pub(super) model: engine::Session,
    pub(super) plan: RequestPlan,
    pub(super) peer: DraftingPeer,
    pub(super) pacing: Pacing,
    /// End of the last round, or of prefill.
    pub(super) last_round: Instant,
    /// Shared with the model's thread for the length of a pass.
    pub(super) decider: Arc<Mutex<Decider>>,
    pub(super) text: ReplyText,
    pub(super) tokens: ReplyTokens,
    pub(super) prediction: Option<Prediction>,
    /// The last tokens of the prompt and all of the reply.
    pub(super) committed: Vec<TargetToken>,
    /// The last committed token, which the next pass takes in.
    pub(super) pending: u32,
    pub(super) usage: UsageAccount,
    /// The prompt without its last token, until prefill takes it in.
    pub(super) prompt: Vec<u32>,
    /// True if the context, not `max_tokens`, limits the reply.
    is_limited_by_context: bool,
    shared: Arc<Shared>,
    _permit: Permit,
}

/// An admitted request.
pub(crate) struct Admitted {
    pub(crate) plan: RequestPlan,
    /// Target ids: at least one, at most as many as the context holds.
    pub(crate) prompt: Vec<u32>,
    pub(crate) grammar: Option<GrammarWalk>,
    pub(crate) model: engine::Session,
    pub(crate) permit: Permit,
    pub(crate) arrived: Instant,
    /// Moment at which it got its place.
    pub(crate) since: Instant,
}

pub(super) fn lock(decider: &Mutex<Decider>) -> MutexGuard<'_, Decider> {
    decider.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, admitted: Admitted) -> Self {
        let Admitted {
            plan,
            mut prompt,
            grammar,
            model,
            permit,
            arrived,
            since,
        } = admitted;
        let target = Arc::clone(&shared.target);
        let context = target.engine().info().context_length;
        // The last token of a reply needs no position.
        let positions = (context + 1).saturating_sub(prompt.len());
        let left = plan.max_tokens.min(positions);
        let tail = &prompt[prompt.len().saturating_sub(TAIL_TOKENS)..];
        let committed = tail.iter().copied().map(TargetToken).collect();
        let decider = Decider::new(&target, &plan, (&prompt, grammar), left);
        let latency = Latency::new(shared.metrics.latencies.clone(), arrived);
        let usage = UsageAccount::new(shared.metrics.clone(), since, prompt.len(), latency);
        let pacing = Pacing::new(&plan, shared.passes.clone());
        Self {
            peer: DraftingPeer::new(Arc::clone(&shared), &plan, &pacing),
            pacing,
            last_round: Instant::now(),
            decider: Arc::new(Mutex::new(decider)),
            text: ReplyText::default(),
            tokens: ReplyTokens::default(),
            prediction: Some(&plan.prediction)
                .filter(|text| !text.is_empty())
                .map(|text| Prediction::new(text)),
            committed,
            pending: prompt.pop().unwrap_or_default(),
            usage,
            is_limited_by_context: positions < plan.max_tokens,
            target,
            model,
            plan,
            prompt,
            shared,
            _permit: permit,
        }
    }

    /// Starts the reply on a task that shutdown waits for. To cancel it, drop the receiver.
    pub(crate) fn start(self) -> Parts {
        let (outbox, parts) = mpsc::channel(OUTBOX);
        let tasks = self.shared.lifecycle().tasks().clone();
        let span = span::of(&self.plan, &self.shared.model_name);
        tasks.spawn(self.run(outbox).instrument(span));
        parts
    }

    /// Writes the reply into `outbox`. Ends early if nobody reads it. Frees its place before it
    /// sends the last part, so that a client that has read it can ask again.
    async fn run(mut self, outbox: Outbox) {
        let cut_off = self.shared.lifecycle().cut_off().clone();
        let ended = tokio::select! {
            biased;
            () = outbox.closed() => None,
            () = cut_off.cancelled() => Some(Ok(None)),
            ended = self.generate(&outbox) => Some(ended.map(Some)),
        };
        let last = ended.map(|ended| ended.map(|end| self.conclude(end)));
        self.account();
        self.report(last.as_ref());
        drop(self);
        if let Some(last) = last {
            // A client that has left needs no last part.
            drop(timeout(UNREAD, outbox.send(last)).await);
        }
    }

    /// Last part of a reply with this end; `None` for a reply that was cut off.
    fn conclude(&mut self, end: Option<End>) -> Part {
        let reason = match end {
            Some(End::Token | End::Stop { .. } | End::Complete) => FinishReason::Stop,
            Some(End::Limit) if self.is_limited_by_context => FinishReason::ContextFull,
            Some(End::Limit) => FinishReason::Length,
            None => FinishReason::Cancelled,
        };
        let (stop, stop_token) = match end {
            Some(End::Stop { stop, .. }) => match stop {
                Stop::Text(index) => (self.plan.stops.get(index).cloned(), None),
                Stop::Token(id) => (None, Some(id)),
            },
            _ => (None, None),
        };
        self.peer.finish();
        self.account();
        Part::Finish(Box::new(Finish {
            reason,
            matched_stop: stop,
            matched_stop_token: stop_token,
            usage: self.usage.close(),
            method: self
                .plan
                .speculates
                .then(|| self.plan.method.name().to_owned()),
            method_reason: self.plan.method_reason.clone(),
            seed: self.plan.seed,
            request_id: self.plan.request_id.clone(),
        }))
    }

    /// Writes one line of the log and one count of the metrics.
    fn report(&mut self, last: Option<&Result<Part, GenerateError>>) {
        let outcome = match last {
            None => "abandoned",
            Some(Ok(Part::Finish(finish))) => outcome(finish.reason),
            Some(Ok(Part::Chunk(_) | Part::Reading(_))) => "incomplete",
            Some(Err(error)) => {
                tracing::warn!(%error, "reply has failed");
                "failed"
            }
        };
        self.shared.metrics.request(outcome);
        let usage = self.usage.close();
        span::end(&usage, outcome);
        tracing::info!(
            request_id = self.plan.request_id,
            outcome,
            method = self.plan.method.name(),
            speculates = self.plan.speculates,
            prompt_tokens = usage.prompt_tokens,
            completion_tokens = usage.completion_tokens,
            rounds = usage.rounds,
            proposed = usage.proposed_tokens,
            accepted = usage.accepted_tokens,
            stale = usage.stale_blocks,
            fallbacks = ?usage.fallbacks,
            prefill = ?usage.prefill,
            decode = ?usage.decode,
            draft_wait = ?usage.draft_wait,
            "reply has ended"
        );
    }

    async fn generate(&mut self, outbox: &Outbox) -> Result<End, GenerateError> {
        let reading = self.read(outbox).instrument(info_span!("prefill"));
        let cached = reading.await?;
        self.usage.prefilled(cached);
        self.last_round = Instant::now();
        if self.plan.max_tokens == 0 {
            return Ok(End::Limit);
        }
        loop {
            let number = self.usage.rounds() + 1;
            let span = info_span!(
                "round",
                number,
                proposed = Empty,
                accepted = Empty,
                fallback = Empty
            );
            let (chunk, end) = self.round().instrument(span).await?;
            self.account();
            if !chunk.pieces.is_empty() || chunk.round.is_some() || !chunk.tokens.is_empty() {
                send(outbox, Part::Chunk(chunk)).await?;
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Updates the drafter's side of the account.
    fn account(&mut self) {
        self.usage
            .drafted(self.peer.traffic(), self.peer.stale_blocks());
    }

    pub(super) fn lock_decider(&self) -> MutexGuard<'_, Decider> {
        lock(&self.decider)
    }
}

/// Sends a part of a reply to the client.
pub(super) async fn send(outbox: &Outbox, part: Part) -> Result<(), GenerateError> {
    let sent = timeout(UNREAD, outbox.send(Ok(part))).await;
    // `run` notices a client that has left.
    sent.map_or(Err(GenerateError::Unread(UNREAD)), |_| Ok(()))
}

fn outcome(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContextFull => "context_full",
        FinishReason::Cancelled => "cut_off",
    }
}
