//! The target's passes, as all sessions have measured them, and what one session sees of them in a round.

use std::time::Duration;

use crate::{round::Round, switch::Switch, verify_cost::VerifyCost};

/// What is known of the target's passes; shared by all its sessions.
#[derive(Clone, Debug, Default)]
pub struct Passes {
    cost: VerifyCost,
    switch: Switch,
}

/// A session's view at the beginning of a round.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Other sessions of the target, whether they have rows in this pass or wait for drafts.
    pub others: usize,
    /// Cost of a pass by its rows.
    pub cost: VerifyCost,
    /// The switch lets this session draft.
    pub may_draft: bool,
}

impl Passes {
    /// Passes that cost as measured, before any session.
    pub fn new(cost: VerifyCost) -> Self {
        Self {
            cost,
            switch: Switch::default(),
        }
    }

    /// The view of the session with this number, one of `sessions`.
    pub fn scene(&self, number: u64, sessions: usize) -> Scene {
        Scene {
            others: sessions.saturating_sub(1),
            cost: self.cost,
            may_draft: self.switch.admits(number, sessions),
        }
    }

    /// Takes in a round, whose pass had `rows` of all `sessions`.
    pub fn observe(&mut self, round: &Round, rows: usize, sessions: usize) {
        self.cost.observe(rows, round.pass);
        let plain = self.cost.predict(sessions.max(1) as f64);
        self.switch.observe(round, sessions, plain);
    }
}

impl Scene {
    /// Sessions, this one included.
    pub(crate) fn sessions(&self) -> f64 {
        self.others as f64 + 1.0
    }

    /// Seconds of a pass in which every session is plain.
    pub(crate) fn plain(&self) -> f64 {
        self.cost.predict(self.sessions())
    }

    /// Longest wait that does not hold up the passes of others; `None` if there are none. A block that misses the pass of the
    /// others waits for all of it.
    pub(crate) fn shared_wait(&self) -> Option<Duration> {
        /// Part of a pass that a round may wait with one other session; with several, so much less.
        const SHARED_PART: f64 = 0.25;
        let others = self.others as f64;
        (self.others > 0).then(|| Duration::from_secs_f64(SHARED_PART * self.plain() / others))
    }
}
