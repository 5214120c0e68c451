//! How long the next block shall be: what the request says, or what has paid.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pacing::goodput::{
    Length, Outcome, VerifyCost,
    alternatives::{Alternatives, Hits, Tried},
};

use super::Pass;
use crate::{drafters::Experience, verification::plan::Plan};

/// Steps in percent in which a drafter is told how probable tokens must look. What moves by less need not be told anew.
const PERCENT_STEP: u32 = 5;

/// What passes of the target cost, as all sessions have measured it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Costs(Arc<Mutex<VerifyCost>>);

/// The block length of one session.
#[derive(Debug)]
pub(super) struct Pace {
    costs: Costs,
    longest: usize,
    /// A draft stands where it is what the target says without it, so that it can be judged beside plain rounds.
    judges_beside: bool,
    by: By,
    beside: Beside,
}

#[derive(Debug)]
enum By {
    /// Each block has as many tokens as blocks may have.
    Request,
    Goodput(Box<Length>),
}

/// Draft tokens beside a block's chain.
#[derive(Debug)]
enum Beside {
    /// As many as the request wants.
    Request(usize),
    /// As many as pay.
    Paying(Alternatives),
}

impl Costs {
    pub(crate) fn new(measured: VerifyCost) -> Self {
        Self(Arc::new(Mutex::new(measured)))
    }

    fn lock(&self) -> MutexGuard<'_, VerifyCost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    pub(super) fn new(plan: &Plan, costs: Costs) -> Self {
        let mut pace = Self {
            costs,
            longest: plan.block_length,
            judges_beside: !plan.method.needs_distributions() && !plan.method.needs_scalars(),
            by: By::Request,
            beside: plan.alternatives.map_or_else(
                || Beside::Paying(Alternatives::new(Hits::default())),
                Beside::Request,
            ),
        };
        if plan.adapts_length {
            pace.by = By::Goodput(Box::new(pace.length(Experience::default(), 0)));
        }
        pace
    }

    fn length(&self, experience: Experience, others: usize) -> Length {
        let Experience { survival, cost, .. } = experience;
        Length::new(self.longest, survival, cost, others, &self.costs.lock())
    }

    /// There is another drafter, of which so much is known, and there are `others` besides this session.
    pub(super) fn begin(&mut self, experience: Experience, others: usize) {
        if matches!(self.beside, Beside::Paying(_)) {
            self.beside = Beside::Paying(Alternatives::new(experience.hits));
        }
        if matches!(self.by, By::Goodput(_)) {
            self.by = By::Goodput(Box::new(self.length(experience, others)));
        }
    }

    /// Draft tokens of the next block; 0: the next round is plain.
    pub(super) fn next(&self) -> usize {
        match &self.by {
            By::Request => self.longest,
            By::Goodput(length) => length.current(),
        }
    }

    /// Whether the next block is only to tell what blocks would be worth.
    pub(super) fn is_trial(&self) -> bool {
        self.judges_beside && self.is_trying()
    }

    /// Whether it is found out what blocks are worth, by whatever way.
    pub(super) fn is_trying(&self) -> bool {
        matches!(&self.by, By::Goodput(length) if length.is_trial())
    }

    /// Whether nothing is drafted, and nothing tried.
    pub(super) fn rests(&self) -> bool {
        matches!(&self.by, By::Goodput(length) if length.rests())
    }

    /// Begins a trial, if it rests.
    pub(super) fn try_out(&mut self) {
        if let By::Goodput(length) = &mut self.by {
            length.try_out();
        }
    }

    /// How probable, in percent, its tokens must look to the drafter, rounded down to a step: one that would just pay is sent. A
    /// request that names their number wants all of them.
    pub(super) fn least_percent(&self) -> u32 {
        match &self.by {
            By::Request => 0,
            By::Goodput(length) => {
                let percent = 100.0 * length.least_chance(&self.costs.lock());
                percent as u32 / PERCENT_STEP * PERCENT_STEP
            }
        }
    }

    /// How long a round may wait for its block where passes are shared with `others`; `None`: as long as the drafter needs, which a
    /// request that says how long its blocks are wants in any case.
    pub(super) fn patience(&self, others: usize) -> Option<Duration> {
        match &self.by {
            By::Request => None,
            By::Goodput(length) => length.patience(others, &self.costs.lock()),
        }
    }

    /// Draft tokens that it may have beside its chain.
    pub(super) fn alternatives(&self) -> usize {
        match &self.beside {
            Beside::Request(count) => *count,
            Beside::Paying(alternatives) => alternatives.current(),
        }
    }

    pub(super) fn delivered(
        &mut self,
        tokens: usize,
        compute: Duration,
        latency: Option<Duration>,
    ) {
        if let By::Goodput(length) = &mut self.by {
            length.delivered(tokens, compute, latency);
        }
    }

    /// A trial is over: of so many tokens, so many are what the target said without them.
    pub(super) fn tried(&mut self, drafted: usize, stood: usize) {
        if let By::Goodput(length) = &mut self.by {
            length.tried(drafted, stood, &self.costs.lock());
        }
    }

    /// Counts a round, beside so many sessions of the model, whether they had rows in its pass or wait for their drafts.
    pub(super) fn learn(
        &mut self,
        outcome: Option<Outcome>,
        tried: &Tried,
        (pass, others): (Pass, usize),
    ) {
        let mut costs = self.costs.lock();
        costs.observe(pass.batch_rows, pass.took);
        if let By::Goodput(length) = &mut self.by {
            if let (Beside::Paying(alternatives), Some(_)) = (&mut self.beside, outcome) {
                alternatives.observe(tried, length.row_cost(&costs));
            }
            length.observe(outcome, others, &costs);
        }
    }

    /// The same where the drafter had nothing to propose.
    pub(super) fn declined(&mut self, pass: Pass, others: usize) {
        let mut costs = self.costs.lock();
        costs.observe(pass.batch_rows, pass.took);
        if let By::Goodput(length) = &mut self.by {
            length.declined(others, &costs);
        }
    }
}
