//! How much to draft: the block length that commits the most tokens a second, nothing included.
//!
//! ```text
//! goodput(g) = (1 + tokens that stand(g)) / (wait(g) + verify(rows(g)))        g = 0, 1, 2, …
//! ```
//!
//! Where a block takes longer than a round may wait, n plain rounds go ahead of it, and what it says of their tokens is not verified:
//!
//! ```text
//! goodput(g) = (n + 1 + tokens that stand(g) behind the first n) / ((n + 1) · verify(mean rows(g - n)))
//! ```
//!
//! A pass has the rows of all sessions, and all wait for it. So a length is judged as if every session had chosen it: what each
//! gains by rows of its own while the others have few, all together lose.
//!
//! The estimates are measured: how far blocks stand by position, how long a block of g tokens is
//! waited for, what a pass of so many rows costs. Goodput as the measure after `SmartSpec` (arXiv
//! 2406.14066); ours because no one there has a wait, and because chances differ by position: a draft
//! misses its first token far oftener than one that follows three right ones.
//!
//! Pure: durations come in, a length goes out, and the caller owns the clock.

pub mod alternatives;
mod rests;
mod survival;
mod verify_cost;

use std::time::Duration;

use alternatives::RowCost;
pub use rests::Rests;
use survival::Stand;
pub use survival::Survival;
pub use verify_cost::VerifyCost;

/// What a trial leaves of the weight of the blocks before it: it asks whether things have changed.
const TRIAL_MEMORY: f64 = 0.7;
/// No block takes longer than this.
const LONGEST: Duration = Duration::from_secs(10);
/// Weight of a new duration in a mean.
const GAIN: f64 = 0.125;
/// Another length must be better than this many times what the present one gives.
const BETTER: f64 = 1.02;
/// Drafting begins again where it gives so many times what makes it go on. Beside others it must give as much more than plain rounds to
/// go on at all.
const WORTH: f64 = 1.05;
/// What a drafter that computes all the time adds to the passes of a target beside it, where both share a processor's memory: up
/// to a fifth, as measured. Whether they do is not known, so sessions that share passes reckon with it.
const DRAFTER_SLOWS: f64 = 0.2;
/// Standard errors that chances may be better than they look, before drafting is given up: what has been tried a few times may
/// have had bad luck, and what is given up is not tried again for long.
const DOUBT: f64 = 1.0;
/// Rounds of which so many have no block are not worth their messages.
const IDLE: f64 = 0.75;
/// Draft tokens of a trial.
const TRIAL: usize = 3;
/// Plain rounds between trials, at first and at most, where drafting was given up. Each that changes nothing doubles them.
const TRIAL_ROUNDS: (u32, u32) = (8, 128);
/// Rounds that a trial may take.
const TRIAL_PATIENCE: u32 = 32;
/// No draft token need look more probable than this.
const SURE: f64 = 0.95;
/// The part of a pass that a round beside one other waits at most; beside several it is so much less.
const SHARED_PART: f64 = 0.25;

/// How long blocks are waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct DraftCost {
    /// Smoothed seconds that the drafter computes for a token.
    token: f64,
    /// Smoothed seconds from asking for a block to having it, and the tokens of such a block.
    latency: f64,
    tokens: f64,
}

/// What a block came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Draft tokens ahead of those, which the target had said before it was asked.
    pub skipped: usize,
    /// Draft tokens that were verified.
    pub drafted: usize,
    /// Of those, tokens that stand in full.
    pub stood: usize,
    /// Candidates that were verified.
    pub candidates: usize,
}

/// The block length of one session.
#[derive(Clone, Debug)]
pub struct Length {
    survival: Survival,
    draft: DraftCost,
    longest: usize,
    current: usize,
    /// Candidates for each draft token.
    candidates_a_token: f64,
    /// Other sessions.
    others: f64,
    /// Smoothed tokens and seconds of a round; zero before the first.
    round: (f64, f64),
    /// Part of the last rounds for which the drafter had nothing.
    idle: f64,
    pause: Option<Pause>,
    /// Plain rounds before the first trial of the next pause.
    rest: u32,
}

/// Drafting does not pay; now and then it is tried out.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// Plain rounds until the next trial.
    left: u32,
    /// Rounds that the trial has gone on for; `None`: there is none.
    trial: Option<u32>,
}

fn smooth(mean: &mut f64, latest: f64, gain: f64) {
    *mean = if *mean > 0.0 {
        *mean + gain * (latest - *mean)
    } else {
        latest
    };
}

impl DraftCost {
    /// Counts a block: its tokens, the drafter's own time for them, and the time from asking to having it; `None` for the first
    /// of a session, for which the drafter has read the prompt.
    pub fn observe(&mut self, tokens: usize, compute: Duration, latency: Option<Duration>) {
        self.observe_with(tokens, compute, latency, GAIN);
    }

    /// Counts the block of a trial, which takes this time or more. What was measured before may be long ago, when the drafter had more to
    /// do than now, so nothing is left of that.
    pub fn tried(&mut self, tokens: usize, compute: Duration, latency: Duration) {
        self.observe_with(tokens, compute, Some(latency), 1.0);
    }

    fn observe_with(
        &mut self,
        tokens: usize,
        compute: Duration,
        latency: Option<Duration>,
        gain: f64,
    ) {
        if tokens == 0 {
            return;
        }
        let size = tokens as f64;
        // The drafter's own word, which need not be true.
        let compute = compute.min(LONGEST);
        smooth(&mut self.token, compute.as_secs_f64() / size, gain);
        let Some(latency) = latency else {
            return;
        };
        // A block that was there before it was asked for has no latency, which is a latency all the same.
        let latency = latency.min(LONGEST).as_secs_f64().max(1e-9);
        smooth(&mut self.latency, latency, gain);
        smooth(&mut self.tokens, size, gain);
    }

    /// Seconds that a block of so many tokens is waited for; none before anything was measured.
    ///
    /// A longer block adds only the part of its time that was not hidden behind verification: a block drafted ahead is there when
    /// it is asked for, however long it is.
    pub fn wait(&self, tokens: f64) -> f64 {
        let compute = self.tokens * self.token;
        let seen = if compute > 0.0 {
            (self.latency / compute).min(1.0)
        } else {
            1.0
        };
        (self.latency + (tokens - self.tokens) * self.token * seen).max(0.0)
    }
}

impl Length {
    /// For a session whose blocks have at most `longest` tokens, beside `others`, beginning with what is known of its drafter. One of
    /// which little is known is tried out first. One that has been of little use is, too, where there are no others; beside them
    /// nothing is drafted for a while.
    pub fn new(
        longest: usize,
        survival: Survival,
        draft: DraftCost,
        others: usize,
        verify: &VerifyCost,
    ) -> Self {
        let mut length = Self {
            survival,
            draft,
            longest,
            current: longest.min(4),
            candidates_a_token: 1.0,
            others: others as f64,
            round: (0.0, 0.0),
            idle: 0.0,
            pause: None,
            rest: 0,
        };
        length.rest = TRIAL_ROUNDS.0;
        length.choose(verify);
        let is_idle = others == 0 && length.pause.is_some();
        if is_idle || !length.survival.is_known() {
            // The first block costs next to nothing, since it is drafted while the prompt is read.
            length.rest = 1;
            length.pause = Some(Pause {
                left: 0,
                trial: Some(0),
            });
        }
        length
    }

    /// Draft tokens of the next block; 0 for a plain round.
    pub fn current(&self) -> usize {
        match self.pause {
            Some(Pause { trial: None, .. }) => 0,
            Some(_) => TRIAL.min(self.longest),
            None => self.current,
        }
    }

    /// Whether the next block only asks what blocks would be worth. It is not waited for, and nothing of it is verified before the
    /// target has said what it begins with: so it costs next to nothing, and what is left of it then is likelier than most.
    pub fn is_trial(&self) -> bool {
        matches!(self.pause, Some(Pause { trial: Some(_), .. }))
    }

    /// Whether nothing is drafted, and nothing tried.
    pub fn rests(&self) -> bool {
        matches!(self.pause, Some(Pause { trial: None, .. }))
    }

    /// Begins a trial, if it rests. Alone a session does so by itself; beside others they take turns, see [`Rests`].
    pub fn try_out(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause.trial.get_or_insert(0);
        }
    }

    /// Counts how long a block took to come; see [`DraftCost::observe`].
    pub fn delivered(&mut self, tokens: usize, compute: Duration, latency: Option<Duration>) {
        match (self.pause, latency) {
            (Some(_), Some(latency)) => self.draft.tried(tokens, compute, latency),
            _ => self.draft.observe(tokens, compute, latency),
        }
    }

    /// Counts a round, a plain one where nothing was drafted, and settles the next length. There are `others`
    /// besides this session.
    pub fn observe(&mut self, outcome: Option<Outcome>, others: usize, verify: &VerifyCost) {
        let has_room = (others as f64) < self.others;
        self.others = others as f64;
        self.count(outcome, verify);
        let Some(outcome) = outcome.filter(|outcome| outcome.drafted > 0) else {
            self.pass();
            // No block came. What drafting is worth has not changed, what a pass costs may have.
            if self.pause.is_none() || has_room && self.survival.is_known() {
                self.choose(verify);
            }
            return;
        };
        let ratio = outcome.candidates as f64 / outcome.drafted as f64;
        self.candidates_a_token += GAIN * (ratio - self.candidates_a_token);
        let skipped = outcome.skipped;
        self.judge(skipped + outcome.drafted, skipped + outcome.stood, verify);
    }

    /// Counts a trial: what the target said without it is what its first `stood` of `drafted` tokens say.
    pub fn tried(&mut self, drafted: usize, stood: usize, verify: &VerifyCost) {
        if drafted > 0 {
            self.judge(drafted, stood, verify);
        }
    }

    fn judge(&mut self, drafted: usize, stood: usize, verify: &VerifyCost) {
        let memory = self.pause.map_or(survival::MEMORY, |_| TRIAL_MEMORY);
        self.survival.observe_with(drafted, stood, memory);
        self.idle -= GAIN * self.idle;
        if self.pause.is_some() {
            self.rest();
            // What fails is no reason to begin, whatever was hoped before.
            if stood == 0 {
                return;
            }
        } else if stood > 0 {
            self.rest = (self.rest / 2).max(TRIAL_ROUNDS.0);
        }
        self.choose(verify);
    }

    /// Nothing is drafted until the next trial.
    fn rest(&mut self) {
        self.pause = Some(Pause {
            left: self.rest,
            trial: None,
        });
        self.rest = (2 * self.rest).min(TRIAL_ROUNDS.1);
    }

    /// A round without a block has passed. A trial that brought nothing is over after a while.
    fn pass(&mut self) {
        match &mut self.pause {
            None => {}
            Some(Pause {
                trial: Some(rounds),
                ..
            }) if *rounds >= TRIAL_PATIENCE => self.rest(),
            Some(Pause {
                trial: Some(rounds),
                ..
            }) => *rounds += 1,
            // Beside others it waits for its turn.
            Some(_) if self.others > 0.0 => {}
            Some(Pause { left, trial }) => {
                *left = left.saturating_sub(1);
                *trial = (*left == 0).then_some(0);
            }
        }
    }

    /// Counts a round for which the drafter had nothing to propose, or was not there yet. That says nothing of what its blocks
    /// are worth, and a trial goes on until there is one.
    pub fn declined(&mut self, others: usize, verify: &VerifyCost) {
        self.others = others as f64;
        self.count(None, verify);
        match self.pause {
            Some(Pause { trial: Some(_), .. }) => {}
            Some(_) => self.pass(),
            None => {
                self.idle += GAIN * (1.0 - self.idle);
                self.choose(verify);
            }
        }
    }

    /// What rounds bring and take, as they are.
    fn count(&mut self, outcome: Option<Outcome>, verify: &VerifyCost) {
        let (mut tokens, mut seconds) = (1.0, verify.predict(self.others + 1.0));
        if let Some(outcome) = outcome {
            let candidates = outcome.candidates as f64;
            tokens += candidates * outcome.stood as f64 / outcome.drafted.max(1) as f64;
            seconds = verify.predict((self.others + 1.0) * (1.0 + candidates));
            // What is not in time is not waited for.
            if longest_wait(self.others, verify).is_none_or(|most| self.draft.latency <= most) {
                seconds += self.draft.latency;
            }
        }
        smooth(&mut self.round.0, tokens, GAIN);
        smooth(&mut self.round.1, seconds, GAIN);
    }

    /// How probable it must be that a draft token stands, and all before it, for a row of its own to pay. Its wait does not count: what
    /// is drafted ahead is there. Cutting blocks for that too took the demo a fifth more passes.
    pub fn least_chance(&self, verify: &VerifyCost) -> f64 {
        self.row_cost(verify).tokens.clamp(0.0, SURE)
    }

    /// What a further row of a pass costs as blocks are.
    pub fn row_cost(&self, verify: &VerifyCost) -> RowCost {
        let length = self.typical();
        let rows = self.rows(length, verify);
        let row = verify.predict(rows + 1.0) - verify.predict(rows);
        let plain = 1.0 / verify.predict(self.others + 1.0);
        let (tokens, seconds) = self.round;
        let rate = if seconds > 0.0 { tokens / seconds } else { 0.0 };
        RowCost {
            // All sessions wait for it.
            tokens: row * rate.max(plain) * (self.others + 1.0),
            share: row / self.seconds(length, verify),
        }
    }

    /// Draft tokens of a block, as they come: where drafts get doubtful they are shorter than they may be.
    fn typical(&self) -> f64 {
        self.draft.tokens.clamp(1.0, self.longest.max(1) as f64)
    }

    /// How long the next round may wait for its block beside `others`; `None`: as long as the drafter needs. One that misses the pass
    /// of the others waits for all of it, which no block is worth, so what is not expected in time is not waited for at all.
    pub fn patience(&self, others: usize, verify: &VerifyCost) -> Option<Duration> {
        let most = longest_wait(others as f64, verify)?;
        let is_in_time = self.draft.wait(self.current() as f64) <= most;
        Some(Duration::from_secs_f64(if is_in_time { most } else { 0.0 }))
    }

    /// Plain rounds that go by while a block of so many tokens is drafted; 0 where it is there in time.
    fn ahead(&self, tokens: f64, verify: &VerifyCost) -> f64 {
        let wait = self.draft.wait(tokens);
        match longest_wait(self.others, verify) {
            Some(most) if wait > most => (wait / verify.predict(self.others + 1.0)).ceil(),
            _ => 0.0,
        }
    }

    /// Rows of a pass, on average, in which every session has so many draft tokens, less those that plain rounds have said.
    fn rows(&self, tokens: f64, verify: &VerifyCost) -> f64 {
        let ahead = self.ahead(tokens, verify);
        let candidates = (self.candidates_a_token * tokens - ahead).max(0.0);
        (self.others + 1.0) * (1.0 + candidates / (1.0 + ahead))
    }

    /// Seconds from asking for a block of so many tokens to its verdict.
    fn seconds(&self, tokens: f64, verify: &VerifyCost) -> f64 {
        let pass = verify.predict(self.rows(tokens, verify));
        match self.ahead(tokens, verify) {
            ahead if ahead > 0.0 => (1.0 + ahead) * pass,
            _ => self.draft.wait(tokens) + pass,
        }
    }

    fn choose(&mut self, verify: &VerifyCost) {
        let plain = 1.0 / verify.predict(self.others + 1.0);
        let expected = self.goodputs(verify, 0.0);
        let (best, goodput) = maximum(&expected);
        let current = expected.get(self.current.wrapping_sub(1));
        if goodput > BETTER * current.copied().unwrap_or(0.0) {
            self.current = best;
        }
        // Each of many sessions learns from the others, and none of them should try what all wait for.
        let (_, hoped) = maximum(&self.goodputs(verify, DOUBT / (1.0 + self.others)));
        // Alone, asking costs nothing that is not needed anyway; together, all pay for the messages and waits of each.
        let is_idle = self.others > 0.0 && self.idle > IDLE;
        let enough = if self.others > 0.0 {
            plain * (WORTH + self.slowed_by(verify))
        } else {
            plain
        };
        match self.pause {
            None if hoped < enough || is_idle => {
                self.rest = self.rest.max(TRIAL_ROUNDS.0);
                self.rest();
            }
            Some(_) if hoped > WORTH * enough => (self.pause, self.idle) = (None, 0.0),
            _ => {}
        }
    }

    /// What the drafter's own work may add to the passes that all share.
    fn slowed_by(&self, verify: &VerifyCost) -> f64 {
        let tokens = self.typical();
        let busy = tokens * self.draft.token / self.seconds(tokens, verify);
        DRAFTER_SLOWS * busy.min(1.0)
    }

    /// Tokens a second with blocks of 1, 2, 3, … tokens, chances so many standard errors better than they look.
    fn goodputs(&self, verify: &VerifyCost, errors: f64) -> Vec<f64> {
        let stands: Vec<Stand> = self.survival.stand(errors).take(self.longest).collect();
        let goodput = |(index, stand): (usize, &Stand)| {
            let tokens = (index + 1) as f64;
            let ahead = self.ahead(tokens, verify);
            let said = (ahead / self.candidates_a_token).ceil() as usize;
            let before = said
                .checked_sub(1)
                .map_or(0.0, |last| stands[last.min(index)].inner);
            let more = self.candidates_a_token * (stand.all - before).max(0.0);
            (1.0 + ahead + more) / self.seconds(tokens, verify)
        };
        stands.iter().enumerate().map(goodput).collect()
    }
}

/// Seconds that a round may wait for its block beside so many others; `None`: as long as the drafter needs.
fn longest_wait(others: f64, verify: &VerifyCost) -> Option<f64> {
    (others > 0.0).then(|| SHARED_PART * verify.predict(1.0 + others) / others)
}

/// The length with the highest goodput, the shortest among equals, and that goodput.
fn maximum(goodputs: &[f64]) -> (usize, f64) {
    let mut best = (1, 0.0);
    for (tokens, goodput) in (1..).zip(goodputs) {
        if *goodput > best.1 {
            best = (tokens, *goodput);
        }
    }
    best
}

#[cfg(test)]
mod tests;
