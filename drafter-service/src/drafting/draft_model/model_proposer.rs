//! A model as a proposer: drafts token by token and never shows the model a position twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alignment::acceptance::alternatives::Alternative as SecondBest;
use inference::{
    engine::{self, Passed},
    sampling::DistributionError,
};
use proto::drafter::{DraftTimings, Draw, EndRole};

use crate::{
    drafting::{
        branches::Branches,
        chooser::{Choice, Chooser, Chosen},
        context::Context,
        proposer::{Ask, Bounds, DraftState, Offer, Proposer, agreement},
        stream::VerifierStream,
    },
    error::DraftError,
    metrics::Metrics,
};

/// Most tokens that wait to be shown to the model while nothing is drafted.
const LAG: usize = 16;
/// Least probability of a second-best token from which a branch begins.
pub(super) const LEAST_CHANCE: f64 = 0.05;
/// Most tokens that the model is shown at once while it catches up and a message may come.
const CATCH_UP: usize = 64;

/// Drafts with a model.
pub(in crate::drafting) struct ModelProposer {
    /// The positions in the model's cache; all of them are right, but there may be fewer than tokens in the context. While there
    /// are branches, they are a tree from its root on.
    pub(super) positions: engine::Session,
    /// Branches off the draft.
    pub(super) branches: Option<Branches>,
    pub(super) context: Context,
    /// Used on the model's thread while a pass is read, here in between.
    pub(super) chooser: Arc<Mutex<Chooser>>,
    /// Draws of draft tokens, by their position in the reply; empty where the method needs none.
    pub(super) draws: BTreeMap<usize, Draw>,
    /// Second-best tokens, by their position in the reply, where they were wanted.
    pub(super) second_bests: BTreeMap<usize, SecondBest>,
    /// True if draws are sent, so that only whole code points are drawn.
    pub(super) draws_whole: bool,
    /// Role of the token by which the model would end the reply after the draft.
    pub(super) ending: Option<EndRole>,
    /// Number of tokens after the committed text that others have proposed.
    pub(super) given: usize,
    /// Number of bytes of the reply that are committed.
    pub(super) committed: usize,
    /// Draft tokens wanted in the last block, and their threshold.
    pub(super) aim: usize,
    pub(super) least_chance: f64,
    /// Number of bytes of the reply that are committed or proposed.
    pub(super) proposed: usize,
    /// The same without blocks after the one judged next.
    pub(super) judged: usize,
    pub(super) metrics: Metrics,
}

impl ModelProposer {
    /// Proposer for a reply of which nothing is committed.
    pub(in crate::drafting) fn new(
        positions: engine::Session,
        (context, chooser): (Context, Chooser),
        draws_whole: bool,
        metrics: Metrics,
    ) -> Self {
        Self {
            positions,
            branches: None,
            context,
            chooser: Arc::new(Mutex::new(chooser)),
            draws: BTreeMap::new(),
            second_bests: BTreeMap::new(),
            draws_whole,
            ending: None,
            given: 0,
            committed: 0,
            aim: 0,
            least_chance: 0.0,
            proposed: 0,
            judged: 0,
            metrics,
        }
    }

    /// Makes the context spell `reply`, the end of which another may have proposed. The draft after it stays.
    fn presume(&mut self, reply: &[u8]) {
        let agreed = agreement(self.context.text(), reply);
        if agreed == reply.len() {
            return;
        }
        self.settle();
        if agreed < self.context.text().len() {
            self.context.forget_after(agreed);
            self.forget_drafts();
            lock(&self.chooser).forget_after(self.context.text().len());
        }
        let held = self.context.reply().len();
        let added = self.context.presume(&reply[self.context.text().len()..]);
        self.given += added;
        self.ending = None;
        lock(&self.chooser).follow(self.context.reply(), held);
    }

    /// Shortens all that depends on the context to its length.
    fn forget_drafts(&mut self) {
        let left = self.context.reply().len();
        self.ending = None;
        self.given = 0;
        self.forget_choices(left);
        self.positions.truncate(self.context.prompt_len() + left);
    }

    /// Forgets the choices of the tokens from this position of the reply on.
    fn forget_choices(&mut self, from: usize) {
        self.draws.retain(|at, _| *at < from);
        self.second_bests.retain(|at, _| *at < from);
    }

    /// True if more tokens would not improve the proposal after the first `base` bytes.
    fn has_enough(&self, base: usize, ask: &Ask<'_>) -> bool {
        let aim = ask.aim.min(ask.bounds.tokens);
        self.ending.is_some()
            || self.first_below(base, ask.least_chance).is_some()
            || self.context.is_enough(base, aim, ask.bounds)
    }

    /// Drafts one token.
    async fn step(
        &mut self,
        ask: &mut Ask<'_>,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        if ask.reply.len() > self.committed {
            self.branch_off();
        }
        if self.branches_fit() {
            return self.grow(true, ask.timings, stream).await;
        }
        self.settle();
        self.go_on(ask, stream).await
    }

    /// Drafts one token, in one pass with all tokens that the model has not seen.
    async fn go_on(
        &mut self,
        ask: &mut Ask<'_>,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        let last = self.context.ids().len() - 1;
        self.positions.truncate(last);
        let unseen = self.context.ids()[self.positions.len()..].to_vec();
        let offset = self.context.text().len() as u64;
        let chooser = Arc::clone(&self.chooser);
        let wants_second_best =
            ask.alternatives > 0 || ask.least_chance > 0.0 || self.most_branches() > 0;
        let choose = move |logits: engine::Logits<'_>| {
            let mut chooser = lock(&chooser);
            chooser.want_second_best(wants_second_best);
            chooser.choose(logits.row(0), offset)
        };
        let pass = self.positions.forward(unseen, 1, choose);
        let passed = stream.unless_over(pass).await??;
        let chosen = self.account(passed, ask.timings)?;
        self.take(chosen);
        Ok(())
    }

    /// Adds the time of a pass, and returns its value.
    pub(super) fn account<R>(
        &self,
        passed: Passed<Result<R, DistributionError>>,
        timings: &mut DraftTimings,
    ) -> Result<R, DraftError> {
        timings.compute += passed.compute;
        timings.passes += 1;
        let waited = passed.queued.as_secs_f64();
        self.metrics.queue_seconds.observe(waited);
        Ok(passed.value?)
    }

    /// Appends a choice to the context.
    pub(super) fn take(&mut self, chosen: Chosen) {
        let Chosen {
            choice,
            draw,
            second_best,
            ..
        } = chosen;
        match choice {
            Choice::Token(id) => {
                self.metrics.draft_tokens.inc();
                let place = self.context.reply().len();
                self.draws.extend(draw.map(|draw| (place, draw)));
                self.second_bests
                    .extend(second_best.map(|second_best| (place, second_best)));
                self.context.push(id);
            }
            Choice::End(role) => self.ending = Some(role),
        }
    }

    /// Draft after the first `base` bytes.
    fn proposal(&self, base: usize, ask: &Ask<'_>) -> Offer {
        let below = self.first_below(base, ask.least_chance);
        let bounds = Bounds {
            tokens: ask.bounds.tokens.min(below.unwrap_or(usize::MAX)),
            ..ask.bounds
        };
        let mut proposal = self.context.proposal(base, bounds).unwrap_or_default();
        // The end goes with the last draft token.
        let is_all = base + proposal.text.len() == self.context.text().len();
        proposal.ends_with = self.ending.filter(|_| is_all);
        if proposal.text.is_empty() && proposal.ends_with.is_none() {
            return Offer::Nothing;
        }
        let first = self.context.first_after(base);
        let sent = self.draws.range(first..first + proposal.token_ends.len());
        proposal.draws = sent.map(|(_, draw)| draw.clone()).collect();
        if proposal.ends_with.is_none() {
            proposal.alternatives = self.alternatives(&proposal, base, ask);
        }
        Offer::Proposal(proposal)
    }

    /// Shows the model at most `most` of the tokens that it has not seen, but never the last, which the first draft token needs anyway.
    async fn show(&mut self, most: usize, stream: &mut VerifierStream) -> Result<(), DraftError> {
        self.settle();
        let ids = self.context.ids();
        let seen = self.positions.len();
        let unseen = seen..(ids.len() - 1).min(seen.saturating_add(most));
        if !unseen.is_empty() {
            let pass = self.positions.forward(ids[unseen].to_vec(), 0, |_| ());
            stream.unless_over(pass).await??;
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Proposer for ModelProposer {
    fn follow(&mut self, committed: &[u8], draft: DraftState) -> bool {
        let drafted = self.context.text().len();
        let agreed = agreement(self.context.text(), committed);
        lock(&self.chooser).learn(committed, agreed);
        let mut followed = self.context.follow(committed);
        if draft == DraftState::Void {
            self.context.forget_after(committed.len());
            followed.unchanged = followed.unchanged.min(self.context.reply().len());
        }
        self.committed = committed.len();
        let still = self.proposed.min(self.context.text().len());
        self.proposed = still.max(committed.len());
        self.judged = self.proposed;
        let reply = self.context.reply();
        let changed = followed.unchanged < reply.len() || self.context.text().len() < drafted;
        // Others' tokens count where they were proposed.
        let judged = (followed.kept + followed.dropped).saturating_sub(self.given);
        let kept = followed.kept.saturating_sub(self.given);
        self.metrics.kept_tokens.inc_by(kept as u64);
        self.metrics.dropped_tokens.inc_by((judged - kept) as u64);
        self.given = self.given.saturating_sub(followed.kept);
        if changed {
            self.ending = None;
            self.given = 0;
            lock(&self.chooser).follow(reply, followed.unchanged);
            self.forget_choices(followed.unchanged);
        }
        let first = self.context.first_after(committed.len());
        self.draws = self.draws.split_off(&first);
        self.second_bests = self.second_bests.split_off(&first);
        self.follow_branch(followed.unchanged);
        !changed
    }

    async fn propose(
        &mut self,
        mut ask: Ask<'_>,
        stream: &mut VerifierStream,
    ) -> Result<Offer, DraftError> {
        if self.context.is_complete() {
            self.presume(ask.reply);
        }
        let base = ask.reply.len();
        // The vocabulary may lack what has been committed or presumed.
        let is_whole = self.context.is_complete() && self.context.text().len() >= base;
        if !is_whole || self.draws_whole && self.context.unfinished(base) > 0 {
            return Ok(Offer::Nothing);
        }
        self.aim = ask.aim.min(ask.bounds.tokens);
        self.least_chance = ask.least_chance;
        while !self.has_enough(base, &ask) {
            self.step(&mut ask, stream).await?;
            if stream.has_message() {
                return Ok(Offer::Interrupted);
            }
        }
        self.branch_off();
        let offer = self.proposal(base, &ask);
        if let Offer::Proposal(proposal) = &offer {
            self.proposed = base + proposal.text.len();
            if base == self.committed {
                self.judged = self.proposed;
            }
        }
        Ok(offer)
    }

    async fn prepare(&mut self, stream: &mut VerifierStream) -> Result<(), DraftError> {
        self.show(usize::MAX, stream).await
    }

    fn has_chores(&self) -> bool {
        match &self.branches {
            Some(_) => self.may_grow(),
            None => self.context.ids().len() > self.positions.len() + LAG,
        }
    }

    async fn do_chore(
        &mut self,
        timings: &mut DraftTimings,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        if self.branches.is_some() {
            return self.prepare_more(timings, stream).await;
        }
        self.show(CATCH_UP, stream).await
    }

    fn positions(&self) -> usize {
        self.context.ids().len()
    }
}

pub(super) fn lock(chooser: &Mutex<Chooser>) -> MutexGuard<'_, Chooser> {
    // A panic under this lock has ended the model's thread.
    chooser.lock().unwrap_or_else(PoisonError::into_inner)
}
