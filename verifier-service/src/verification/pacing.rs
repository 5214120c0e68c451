//! Pacing of one session: its pacer, and the target's passes that all sessions share.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use inference::engine::Engine;
use pacing::{Experience, Limits, Pacer, Passes, Round, Scene, VerifyCost, Wish};
use proto::{drafter, limits::MAX_ALTERNATIVES};

use super::request_plan::RequestPlan;

/// Most alternatives of a block, where the request names no number.
const ALTERNATIVES: u32 = 4;
/// Step of the least probability that is sent, in percent. Smaller changes cost no message.
const PERCENT_STEP: u32 = 5;

/// The target's passes, as all sessions have measured them. Clones share them.
#[derive(Clone)]
pub(crate) struct SharedPasses {
    engine: Engine,
    passes: Arc<Mutex<Passes>>,
    sessions: Arc<AtomicU64>,
}

/// Pacing of one session.
pub(super) struct Pacing {
    pacer: Pacer,
    shared: SharedPasses,
    /// Number of the session, by which the pacing's switch samples sessions.
    number: u64,
    /// Most alternatives of a block.
    alternatives: u32,
}

impl SharedPasses {
    pub(crate) fn new(engine: Engine, measured: VerifyCost) -> Self {
        Self {
            engine,
            passes: Arc::new(Mutex::new(Passes::new(measured))),
            sessions: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Passes> {
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the model's sessions, at least 1.
    fn sessions(&self) -> usize {
        self.engine.load_now().sessions.max(1)
    }
}

impl Pacing {
    pub(super) fn new(plan: &RequestPlan, shared: SharedPasses) -> Self {
        let limits = Limits {
            longest: plan.block_length,
            judged_unseen: !plan.method.needs_distributions() && !plan.method.needs_scalars(),
            least_budget: plan.least_wait,
        };
        let fixed = (!plan.adapts_length).then_some(plan.block_length);
        // Blocks of a fixed length have no threshold, so alternatives only where the request names them.
        let usual = if plan.adapts_length { ALTERNATIVES } else { 0 };
        let alternatives = plan.alternatives.map_or(usual, |count| count as u32);
        let has_trees = plan.open.accepts_trees;
        Self {
            pacer: Pacer::new(limits, fixed),
            number: shared.sessions.fetch_add(1, Ordering::Relaxed),
            shared,
            alternatives: if has_trees {
                alternatives.min(MAX_ALTERNATIVES)
            } else {
                0
            },
        }
    }

    /// The session's view of the target's passes before a stream opens.
    pub(super) fn scene(&self) -> Scene {
        let sessions = self.shared.sessions();
        self.shared.lock().scene(self.number, sessions)
    }

    /// Block wanted of a drafter with this experience.
    pub(super) fn wish(&self, known: &Experience, scene: &Scene) -> Wish {
        self.pacer.wish(known, scene)
    }

    /// Takes in the pass of a round, with `rows` of all sessions. Returns the next view.
    pub(super) fn passed(&self, round: &Round, rows: usize) -> Scene {
        let sessions = self.shared.sessions();
        let mut passes = self.shared.lock();
        passes.observe(round, rows, sessions);
        passes.scene(self.number, sessions)
    }

    /// Takes in a round with a drafter. Returns the next wish.
    pub(super) fn observe(&mut self, round: &Round, known: &mut Experience, scene: &Scene) -> Wish {
        self.pacer.observe(round, known, scene);
        self.pacer.wish(known, scene)
    }

    /// The wish as it is sent to a drafter.
    pub(super) fn on_the_wire(&self, wish: Wish) -> drafter::Wish {
        match wish {
            Wish::Plain => drafter::Wish::default(),
            Wish::Probe { tokens } => drafter::Wish::chain(tokens as u32),
            Wish::Draft {
                tokens,
                least_chance,
                ..
            } => drafter::Wish {
                tokens: tokens as u32,
                alternatives: self.alternatives,
                least_percent: least_percent(least_chance),
            },
        }
    }
}

/// A threshold in percent, rounded to a step. It is 0 only where there is none: an alternative that is next to impossible is worth
/// no row, however cheap.
fn least_percent(least_chance: f64) -> u32 {
    let steps = (100.0 * least_chance / f64::from(PERCENT_STEP)).round() as u32;
    PERCENT_STEP * steps.max(u32::from(least_chance > 0.0))
}
