//! How long the next block shall be: what the request says, or what has paid.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alignment::goodput::{
    Length, Outcome, VerifyCost,
    alternatives::{Alternatives, Hits, Tried},
};

use super::Pass;
use crate::{drafters::Experience, verification::plan::Plan};

/// What passes of the target cost, as all sessions have measured it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs(Arc<Mutex<VerifyCost>>);

/// The block length of one session.
#[derive(Debug)]
pub(super) struct Pace {
    costs: Costs,
    longest: usize,
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
    fn lock(&self) -> MutexGuard<'_, VerifyCost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    pub(super) fn new(plan: &Plan, costs: Costs) -> Self {
        let mut pace = Self {
            costs,
            longest: plan.block_length,
            by: By::Request,
            beside: plan.alternatives.map_or_else(
                || Beside::Paying(Alternatives::new(Hits::default())),
                Beside::Request,
            ),
        };
        if plan.adapts_length {
            pace.by = By::Goodput(Box::new(pace.length(Experience::default())));
        }
        pace
    }

    fn length(&self, experience: Experience) -> Length {
        let Experience { survival, cost, .. } = experience;
        Length::new(self.longest, survival, cost, &self.costs.lock())
    }

    /// There is another drafter, of which so much is known.
    pub(super) fn begin(&mut self, experience: Experience) {
        if matches!(self.beside, Beside::Paying(_)) {
            self.beside = Beside::Paying(Alternatives::new(experience.hits));
        }
        if matches!(self.by, By::Goodput(_)) {
            self.by = By::Goodput(Box::new(self.length(experience)));
        }
    }

    /// Draft tokens of the next block; 0: the next round is plain.
    pub(super) fn next(&self) -> usize {
        match &self.by {
            By::Request => self.longest,
            By::Goodput(length) => length.current(),
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

    pub(super) fn learn(&mut self, outcome: Option<Outcome>, tried: &Tried, pass: Pass) {
        let mut costs = self.costs.lock();
        costs.observe(pass.batch_rows, pass.took);
        if let By::Goodput(length) = &mut self.by {
            if let (Beside::Paying(alternatives), Some(_)) = (&mut self.beside, outcome) {
                alternatives.observe(tried, length.row_cost(&costs));
            }
            length.observe(outcome, pass.others, &costs);
        }
    }

    /// The same where the drafter had nothing to propose.
    pub(super) fn declined(&mut self, pass: Pass) {
        let mut costs = self.costs.lock();
        costs.observe(pass.batch_rows, pass.took);
        if let By::Goodput(length) = &mut self.by {
            length.declined(pass.others, &costs);
        }
    }
}
