//! A model as a proposer: drafts token by token and never shows the model twice what it has seen.

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
        proposer::{Ask, Behind, Bounds, Offer, Proposer, agreement},
        stream::VerifierStream,
    },
    error::DraftError,
    metrics::Metrics,
};

/// Tokens that may wait to be shown to the model while nothing is drafted.
const LAG: usize = 16;
/// How probable it must look at least that an alternative is needed. A row of the verifier's pass is hardly ever worth less.
pub(super) const LEAST_CHANCE: f64 = 0.05;
/// Tokens that the model is shown at once while it catches up and a message may come.
const CATCH_UP: usize = 64;

/// Drafts with a model.
pub(in crate::drafting) struct ModelProposer {
    /// The positions in the model's cache; all of them are right, but there may be fewer than tokens in the context. While there
    /// are branches, they are a tree from its root on.
    pub(super) positions: engine::Session,
    /// What is drafted beside what is proposed.
    pub(super) branches: Option<Branches>,
    pub(super) context: Context,
    /// Used on the model's thread while a pass is read, here in between.
    pub(super) chooser: Arc<Mutex<Chooser>>,
    /// How drafted tokens were drawn, by their place in the reply; empty where the method need not know.
    pub(super) draws: BTreeMap<usize, Draw>,
    /// What drafted tokens might have been instead, by their place in the reply, where that was wanted.
    pub(super) rivals: BTreeMap<usize, SecondBest>,
    /// How tokens are drawn is told, so that only whole code points are.
    pub(super) draws_whole: bool,
    /// The model would end the reply behind what is drafted.
    pub(super) ending: Option<EndRole>,
    /// Tokens behind the committed text that others have proposed.
    pub(super) given: usize,
    /// Bytes of the reply that are committed.
    pub(super) committed: usize,
    /// Draft tokens that the last block aimed at, and how probable they had to look.
    pub(super) aim: usize,
    pub(super) least_chance: f64,
    /// Bytes of the reply that are committed or proposed.
    pub(super) proposed: usize,
    /// The same without what is proposed ahead of the next verdict.
    pub(super) judged: usize,
    pub(super) metrics: Metrics,
}

impl ModelProposer {
    /// For a reply of which nothing is committed.
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
            rivals: BTreeMap::new(),
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

    /// Has the context spell `reply`, whoever proposed the end of it. What is drafted behind it stays.
    fn presume(&mut self, reply: &[u8]) {
        let agreed = agreement(self.context.text(), reply);
        if agreed == reply.len() {
            return;
        }
        self.settle();
        if agreed < self.context.text().len() {
            self.context.forget_behind(agreed);
            self.forget_drafts();
            lock(&self.chooser).forget_behind(self.context.text().len());
        }
        let held = self.context.reply().len();
        let added = self.context.presume(&reply[self.context.text().len()..]);
        self.given += added;
        self.ending = None;
        lock(&self.chooser).follow(self.context.reply(), held);
    }

    /// Brings everything in stream with a context that has become shorter.
    fn forget_drafts(&mut self) {
        let left = self.context.reply().len();
        self.ending = None;
        self.given = 0;
        self.forget_choices(left);
        self.positions.truncate(self.context.prompt_len() + left);
    }

    /// Forgets how the tokens from this place of the reply on were chosen.
    fn forget_choices(&mut self, from: usize) {
        self.draws.retain(|at, _| *at < from);
        self.rivals.retain(|at, _| *at < from);
    }

    /// Whether there is a proposal behind the first `base` bytes that is as good as it will get.
    fn has_enough(&self, base: usize, ask: &Ask<'_>) -> bool {
        let aim = ask.aim.min(ask.bounds.tokens);
        self.ending.is_some()
            || self.doubtful(base, ask.least_chance).is_some()
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
        let wants_rivals =
            ask.alternatives > 0 || ask.least_chance > 0.0 || self.most_branches() > 0;
        let choose = move |logits: engine::Logits<'_>| {
            let mut chooser = lock(&chooser);
            chooser.want_rivals(wants_rivals);
            chooser.choose(logits.row(0), offset)
        };
        let pass = self.positions.forward(unseen, 1, choose);
        let passed = stream.unless_over(pass).await??;
        let chosen = self.account(passed, ask.timings)?;
        self.take(chosen);
        Ok(())
    }

    /// Adds what a pass took, and gives what came of it.
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

    /// Goes on with what was chosen behind the context.
    pub(super) fn take(&mut self, chosen: Chosen) {
        let Chosen {
            choice,
            draw,
            rival,
            ..
        } = chosen;
        match choice {
            Choice::Token(id) => {
                self.metrics.draft_tokens.inc();
                let place = self.context.reply().len();
                self.draws.extend(draw.map(|draw| (place, draw)));
                self.rivals.extend(rival.map(|rival| (place, rival)));
                self.context.push(id);
            }
            Choice::End(role) => self.ending = Some(role),
        }
    }

    /// What is drafted behind the first `base` bytes.
    fn proposal(&self, base: usize, ask: &Ask<'_>) -> Offer {
        let doubtful = self.doubtful(base, ask.least_chance);
        let bounds = Bounds {
            tokens: ask.bounds.tokens.min(doubtful.unwrap_or(usize::MAX)),
            ..ask.bounds
        };
        let mut proposal = self.context.proposal(base, bounds).unwrap_or_default();
        // The end goes with the last of what is drafted.
        let is_all = base + proposal.text.len() == self.context.text().len();
        proposal.ends_with = self.ending.filter(|_| is_all);
        if proposal.text.is_empty() && proposal.ends_with.is_none() {
            return Offer::Nothing;
        }
        let first = self.context.first_behind(base);
        let sent = self.draws.range(first..first + proposal.token_ends.len());
        proposal.draws = sent.map(|(_, draw)| draw.clone()).collect();
        if proposal.ends_with.is_none() {
            proposal.alternatives = self.alternatives(&proposal, base, ask);
        }
        Offer::Proposal(proposal)
    }

    /// Shows the model `most` of the tokens that it has not seen, but never the last, which the first draft token needs anyway.
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
    fn follow(&mut self, committed: &[u8], behind: Behind) -> bool {
        let drafted = self.context.text().len();
        let agreed = agreement(self.context.text(), committed);
        lock(&self.chooser).learn(committed, agreed);
        let mut followed = self.context.follow(committed);
        if behind == Behind::Void {
            self.context.forget_behind(committed.len());
            followed.unchanged = followed.unchanged.min(self.context.reply().len());
        }
        self.committed = committed.len();
        let stands = self.proposed.min(self.context.text().len());
        self.proposed = stands.max(committed.len());
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
        let first = self.context.first_behind(committed.len());
        self.draws = self.draws.split_off(&first);
        self.rivals = self.rivals.split_off(&first);
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
    // Whoever panicked has taken the model's thread along.
    chooser.lock().unwrap_or_else(PoisonError::into_inner)
}
