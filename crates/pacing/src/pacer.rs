//! The pacer of one session: what it wants of a drafter for the next round, from what rounds brought and took.

use std::time::Duration;

use crate::{
    budget::Budget,
    chances::{Chances, OWN_MEMORY, SHARED_MEMORY, Tally},
    ewma::Ewma,
    experience::Experience,
    passes::Scene,
    round::{BlockFate, Round, Wish},
};

/// Hysteresis: an idle session drafts again only where that gives this many times what would make it idle.
const RESUME: f64 = 1.05;
/// Standard errors by which chances may be better than they look before drafting is given up: the few blocks tried may have had
/// bad luck, and what is given up is not tried again for long.
const DOUBT: f64 = 1.0;
/// Draft tokens of a probe, and rounds after which one that brought nothing is over.
const PROBE_TOKENS: usize = 3;
const PROBE_ROUNDS: u32 = 32;
/// Gain of a round in the averages of a session.
const GAIN: f64 = 0.125;
/// Rounds after which an average says something.
const MEASURED: u32 = 8;
/// No draft token needs a higher probability than this.
const SURE: f64 = 0.95;

/// Limits of a session's blocks.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Draft tokens of a block.
    pub longest: usize,
    /// A block can be judged by what the target says without it. False for methods under which a draft may be accepted though
    /// the target by itself says something else: their probes are verified.
    pub judged_unseen: bool,
    /// Waiting that a reply may cost in any case. The budget's own amount counts where it is more.
    pub least_budget: Duration,
}

/// Block length and waiting of one session.
#[derive(Clone, Debug)]
pub struct Pacer {
    limits: Limits,
    /// Draft tokens of every block, where the request names them.
    fixed: Option<usize>,
    /// `None` before the first round.
    mode: Option<Mode>,
    /// Draft tokens tried and accepted in this text.
    tally: Tally,
    /// Committed tokens a second while drafting.
    tokens: Ewma,
    seconds: Ewma,
    /// Rounds that these are of.
    drafted: u32,
    /// Candidates for each draft token.
    candidates: Ewma,
    /// The last block was empty: there may be nothing to wait for.
    has_declined: bool,
    budget: Budget,
}

/// What a session does about drafting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// Blocks are asked for and verified. Ends in [`Mode::Idle`] when even hopeful chances promise no more than plain rounds, or
    /// when the switch is off.
    Draft,
    /// Nothing is asked for. Ends in [`Mode::Probe`] when it is this session's turn, and in [`Mode::Draft`] when the switch is on
    /// again and the estimates promise more than plain rounds.
    Idle,
    /// A block is asked for and not waited for, for this many rounds so far. Ends in [`Mode::Draft`] if it was of use, else in
    /// [`Mode::Idle`].
    Probe(u32),
}

impl Pacer {
    /// For one reply. `fixed` is the number of draft tokens of every block, where the request names it.
    pub fn new(limits: Limits, fixed: Option<usize>) -> Self {
        Self {
            limits,
            fixed,
            mode: None,
            tally: Tally::default(),
            tokens: Ewma::default(),
            seconds: Ewma::default(),
            drafted: 0,
            candidates: Ewma::default(),
            has_declined: false,
            budget: Budget::new(limits.least_budget),
        }
    }

    /// Block wanted for the next round.
    pub fn wish(&self, known: &Experience, scene: &Scene) -> Wish {
        if let Some(tokens) = self.fixed {
            return Wish::Draft {
                tokens,
                least_chance: 0.0,
                wait: self.affordable(known, tokens, self.deadline(known, tokens)),
            };
        }
        let (length, _) = self.best(known, scene, 0.0);
        let probe = PROBE_TOKENS.min(self.limits.longest);
        match self.mode.unwrap_or_else(|| self.first_mode(known, scene)) {
            Mode::Idle => Wish::Plain,
            Mode::Draft if !scene.may_draft => Wish::Plain,
            Mode::Probe(_) if self.limits.judged_unseen => Wish::Probe { tokens: probe },
            Mode::Probe(_) => self.draft(known, scene, probe),
            Mode::Draft => self.draft(known, scene, length),
        }
    }

    /// Takes in a round, and decides what to do next.
    pub fn observe(&mut self, round: &Round, known: &mut Experience, scene: &Scene) {
        let pass = round.pass.as_secs_f64();
        self.budget
            .observe(round.committed, pass, scene.plain(), round.waited);
        let mode = self.mode.unwrap_or_else(|| self.first_mode(known, scene));
        self.take_in(round, mode, known);
        if mode == Mode::Draft && round.asked {
            self.tokens.observe(round.committed as f64, GAIN);
            self.seconds.observe(round.took.as_secs_f64(), GAIN);
            self.drafted += 1;
        }
        self.mode = Some(match mode {
            Mode::Draft => self.after_draft(known, scene),
            Mode::Idle => self.after_idle(known, scene),
            Mode::Probe(rounds) => self.after_probe(rounds, round.block, known, scene),
        });
    }

    /// Mode of a session that begins. A drafter of which little is known is probed; so is one that was of little use if there
    /// are no other sessions, since the first block is drafted while the prompt is read.
    fn first_mode(&self, known: &Experience, scene: &Scene) -> Mode {
        if !scene.may_draft {
            return Mode::Idle;
        }
        let pays = self.hoped(known, scene) > scene.speed();
        match (known.tally.is_known(), pays, scene.others) {
            (true, true, _) => Mode::Draft,
            (true, false, 1..) => Mode::Idle,
            _ => Mode::Probe(0),
        }
    }

    fn after_draft(&mut self, known: &mut Experience, scene: &Scene) -> Mode {
        if !scene.may_draft {
            return Mode::Idle;
        }
        // The estimates take chances for the same everywhere. A drafter that ends its blocks where it is unsure is better than that.
        let is_faster = self.drafted >= MEASURED && self.measured() >= RESUME * scene.speed();
        if is_faster || self.hoped(known, scene) >= scene.speed() {
            return Mode::Draft;
        }
        known.turns.judged(false);
        Mode::Idle
    }

    fn after_idle(&mut self, known: &mut Experience, scene: &Scene) -> Mode {
        if !scene.may_draft {
            return Mode::Idle;
        }
        if known.tally.is_known() && self.hoped(known, scene) > RESUME * scene.speed() {
            return Mode::Draft;
        }
        if known.turns.count(scene.others) {
            Mode::Probe(0)
        } else {
            Mode::Idle
        }
    }

    fn after_probe(
        &mut self,
        rounds: u32,
        block: BlockFate,
        known: &mut Experience,
        scene: &Scene,
    ) -> Mode {
        if !scene.may_draft {
            return Mode::Idle;
        }
        let accepted = match block {
            BlockFate::Judged { accepted, .. } => accepted,
            // Nothing was proposed. That says nothing of what blocks are worth, so the probe goes on.
            BlockFate::Opening | BlockFate::Declined => return Mode::Probe(rounds),
            BlockFate::None | BlockFate::Late { .. } if rounds < PROBE_ROUNDS => {
                return Mode::Probe(rounds + 1);
            }
            BlockFate::None | BlockFate::Late { .. } => {
                known.turns.judged(false);
                return Mode::Idle;
            }
        };
        let pays = self.hoped(known, scene) > RESUME * scene.speed();
        let is_worth = accepted > 0 && pays;
        // One block may have had bad luck. Without other sessions, further ones disturb nobody.
        if !is_worth && scene.others == 0 && !self.tally.is_known() {
            return Mode::Probe(0);
        }
        known.turns.judged(is_worth);
        if is_worth { Mode::Draft } else { Mode::Idle }
    }

    /// Takes what became of a block into the estimates.
    fn take_in(&mut self, round: &Round, mode: Mode, known: &mut Experience) {
        match round.block {
            BlockFate::None | BlockFate::Opening => {}
            BlockFate::Declined => self.has_declined = true,
            BlockFate::Late { latency } => known.latency.observe(latency),
            BlockFate::Judged {
                drafted,
                accepted,
                candidates_per_token,
                compute,
                latency,
            } => {
                self.has_declined = false;
                self.tally.observe(drafted, accepted, OWN_MEMORY);
                known.tally.observe(drafted, accepted, SHARED_MEMORY);
                if let Some(candidates) = candidates_per_token {
                    self.candidates.observe(candidates, GAIN);
                }
                if let (Mode::Probe(_), Some(latency)) = (mode, latency) {
                    known.cost.renew(drafted, compute, latency);
                    return;
                }
                known.cost.observe(drafted, compute, latency);
                if let Some(latency) = latency {
                    known.latency.observe(latency);
                }
            }
        }
    }

    fn draft(&self, known: &Experience, scene: &Scene, tokens: usize) -> Wish {
        let wait = match scene.shared_wait() {
            None => self.deadline(known, tokens),
            // With others, a declining drafter and a block that would miss their pass are not waited for at all.
            Some(_) if self.has_declined => Duration::ZERO,
            Some(most) if known.cost.wait(tokens as f64) > most.as_secs_f64() => Duration::ZERO,
            Some(most) => most.min(self.deadline(known, tokens)),
        };
        Wish::Draft {
            tokens,
            least_chance: self.row_price(known, scene, tokens).clamp(0.0, SURE),
            wait: self.affordable(known, tokens, wait),
        }
    }

    /// A wait within the budget. Nothing is waited for that is not expected within it, so that the budget grows until it is.
    fn affordable(&self, known: &Experience, tokens: usize, wait: Duration) -> Duration {
        let left = self.budget.left();
        if known.cost.wait(tokens as f64) > left.as_secs_f64() {
            Duration::ZERO
        } else {
            wait.min(left)
        }
    }

    /// Longest wait for a block of `tokens` without other sessions.
    fn deadline(&self, known: &Experience, tokens: usize) -> Duration {
        if self.has_declined {
            known.latency.brief()
        } else {
            known.deadline(tokens)
        }
    }

    /// Price of a further row: tokens that all sessions commit in its time, at this session's speed. A draft token pays for its
    /// row if it is accepted with at least this probability.
    fn row_price(&self, known: &Experience, scene: &Scene, tokens: usize) -> f64 {
        let typical = known.cost.tokens().min(tokens as f64);
        let rows = self.rows(known, scene, typical);
        let row = scene.cost.predict(rows + 1.0) - scene.cost.predict(rows);
        row * self.measured().max(scene.speed()) * scene.sessions()
    }

    /// Tokens a second of recent rounds with drafts; 0 before any.
    fn measured(&self) -> f64 {
        self.tokens.or(0.0) / self.seconds.or(1.0).max(f64::MIN_POSITIVE)
    }

    /// Highest speed with any block length, if chances are one standard error better than they look.
    fn hoped(&self, known: &Experience, scene: &Scene) -> f64 {
        // Each of many sessions learns from the others, and none should try what all wait for.
        self.best(known, scene, DOUBT / scene.sessions()).1
    }

    /// The block length with the highest speed, the shortest among equals, and that speed in tokens a second.
    fn best(&self, known: &Experience, scene: &Scene, doubt: f64) -> (usize, f64) {
        let chances = self.tally.chances(&known.tally).hoped(doubt);
        let speeds = (1..=self.limits.longest)
            .map(|tokens| (tokens, self.speed(known, scene, (chances, tokens as f64))));
        speeds.fold(
            (1, 0.0),
            |best, next| {
                if next.1 > best.1 { next } else { best }
            },
        )
    }

    /// Tokens a second with blocks of so many `tokens`:
    ///
    /// ```text
    /// (n + 1 + accepted tokens after the first n) / (wait + (n + 1) · pass(mean rows))
    /// ```
    ///
    /// where n plain rounds go by while the block is drafted; 0 where it is waited for. All sessions are reckoned to draft as much:
    /// what each gains by rows of its own while others have few, all together lose.
    fn speed(&self, known: &Experience, scene: &Scene, (chances, tokens): (Chances, f64)) -> f64 {
        let missed = missed_passes(known, scene, tokens);
        let said = (missed / self.candidates.or(1.0)).ceil().min(tokens);
        let accepted = chances.accepted(tokens) - chances.accepted(said);
        let wait = if missed > 0.0 {
            0.0
        } else {
            known.cost.wait(tokens)
        };
        let pass = scene.cost.predict(self.rows(known, scene, tokens));
        (missed + 1.0 + self.candidates.or(1.0) * accepted) / (wait + (missed + 1.0) * pass)
    }

    /// Mean rows of a pass in which every session has a block of so many `tokens`, without those that plain rounds have said.
    fn rows(&self, known: &Experience, scene: &Scene, tokens: f64) -> f64 {
        let missed = missed_passes(known, scene, tokens);
        let candidates = (self.candidates.or(1.0) * tokens - missed).max(0.0);
        scene.sessions() * (1.0 + candidates / (1.0 + missed))
    }
}

impl Scene {
    /// Tokens a second of a session where all are plain.
    fn speed(&self) -> f64 {
        1.0 / self.plain()
    }
}

/// Passes of the other sessions that go by while a block of so many `tokens` is drafted; 0 if it is there in time.
fn missed_passes(known: &Experience, scene: &Scene, tokens: f64) -> f64 {
    let wait = known.cost.wait(tokens);
    match scene.shared_wait() {
        Some(most) if wait > most.as_secs_f64() => (wait / scene.plain()).ceil(),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests;
