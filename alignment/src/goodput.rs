//! How much to draft: the block length that commits the most tokens a second, nothing included.
//!
//! ```text
//! goodput(g) = (1 + tokens that stand(g)) / (wait(g) + verify(rows(g)))        g = 0, 1, 2, …
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

use std::time::Duration;

use alternatives::RowCost;

/// First position of each class of positions that share a chance; the last class has no end.
const CLASSES: [usize; 8] = [1, 2, 3, 4, 6, 9, 13, 17];
/// What a block leaves of the weight of those before it: about twenty blocks are remembered.
const MEMORY: f64 = 0.95;
/// The same for a block that only asks whether things have changed.
const PROBE_MEMORY: f64 = 0.7;
/// Blocks that a chance is worth before any was seen at its position: it then equals that of all positions.
const CLASS_PRIOR: f64 = 2.0;
/// Trials, and those of them that stand, before anything was seen at all.
const PRIOR: (f64, f64) = (2.0, 1.2);
/// Most trials that the experience of others is worth to a session that begins.
const INHERITED: f64 = 6.0;
/// What a further row costs in first rows, where nothing is measured.
const ROW: f64 = 0.15;
/// Weight of a new measurement of that.
const ROW_GAIN: f64 = 0.03;
/// No block takes longer than this.
const LONGEST: Duration = Duration::from_secs(10);
/// Weight of a new duration in a mean.
const GAIN: f64 = 0.125;
/// Another length must be better than this many times what the present one gives.
const BETTER: f64 = 1.02;
/// Drafting begins again where it gives so many times what plain decoding gives.
const WORTH: f64 = 1.05;
/// Standard errors that chances may be better than they look, before drafting is given up: what has been tried a few times may
/// have had bad luck, and what is given up is not tried again for long.
const DOUBT: f64 = 1.0;
/// Draft tokens of a probe.
const PROBE: usize = 2;
/// What probes may cost, as a part of plain decoding.
const PROBE_SHARE: f64 = 0.02;
/// Least and most plain rounds between probes.
const PROBE_ROUNDS: (f64, f64) = (8.0, 512.0);

/// How far blocks stand: chances by position that a draft token stands if all before it do.
#[derive(Clone, Debug, Default)]
pub struct Survival {
    trials: [f64; CLASSES.len()],
    stood: [f64; CLASSES.len()],
}

/// What a forward pass of the target costs by its rows: `first` · (1 + `row` · (rows - 1)).
///
/// Two numbers on purpose. The first follows quickly what changes all passes alike, other work on the machine or longer
/// contexts; the second, which belongs to the hardware, slowly. Means for each number of rows would compare a size that was
/// measured lately with one that was measured long ago, under another load.
#[derive(Clone, Copy, Debug)]
pub struct VerifyCost {
    /// Seconds of a pass of one row; zero before any pass was seen.
    first: f64,
    /// What a further row costs, in first rows.
    row: f64,
}

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
    /// Draft tokens that were verified.
    pub drafted: usize,
    /// Of those, tokens that stand in full.
    pub stood: usize,
    /// Proxies that were verified.
    pub proxies: usize,
}

/// The block length of one session.
#[derive(Clone, Debug)]
pub struct Length {
    survival: Survival,
    draft: DraftCost,
    longest: usize,
    current: usize,
    /// Proxies for each draft token.
    proxies_a_token: f64,
    /// Other sessions.
    others: f64,
    pause: Option<Pause>,
}

/// Nothing is drafted.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// Plain rounds until the next probe.
    left: f64,
    /// Plain rounds before the last one, and before the first.
    interval: f64,
    shortest: f64,
    is_probing: bool,
    /// The probe has been asked for, so it is over even if it brings nothing.
    is_asked: bool,
}

fn class(position: usize) -> usize {
    CLASSES.partition_point(|first| *first <= position) - 1
}

fn smooth(mean: &mut f64, latest: f64) {
    *mean = if *mean > 0.0 {
        *mean + GAIN * (latest - *mean)
    } else {
        latest
    };
}

impl Survival {
    /// Counts a block: its first `stood` of `drafted` tokens stand.
    pub fn observe(&mut self, drafted: usize, stood: usize) {
        self.observe_with(drafted, stood, MEMORY);
    }

    fn observe_with(&mut self, drafted: usize, stood: usize, memory: f64) {
        for weight in self.trials.iter_mut().chain(&mut self.stood) {
            *weight *= memory;
        }
        for position in 1..=stood.min(drafted) {
            self.trials[class(position)] += 1.0;
            self.stood[class(position)] += 1.0;
        }
        if stood < drafted {
            self.trials[class(stood + 1)] += 1.0;
        }
    }

    /// The same chances, trusted no more than a beginner should trust the experience of others.
    #[must_use]
    pub fn inherited(&self) -> Self {
        let scale = (INHERITED / self.evidence()).min(1.0);
        let scaled = |weights: &[f64; CLASSES.len()]| weights.map(|weight| weight * scale);
        Self {
            trials: scaled(&self.trials),
            stood: scaled(&self.stood),
        }
    }

    fn evidence(&self) -> f64 {
        self.trials.iter().sum()
    }

    /// The chance that the token at `position`, counted from 1, stands if all before it do.
    pub fn chance(&self, position: usize) -> f64 {
        let stood: f64 = self.stood.iter().sum();
        let all = (stood + PRIOR.1) / (self.evidence() + PRIOR.0);
        let class = class(position.max(1));
        (self.stood[class] + CLASS_PRIOR * all) / (self.trials[class] + CLASS_PRIOR)
    }

    /// The same, so many standard errors better.
    fn hoped(&self, position: usize, errors: f64) -> f64 {
        let chance = self.chance(position);
        let trials = self.trials[class(position.max(1))] + CLASS_PRIOR;
        (chance + errors * (chance * (1.0 - chance) / trials).sqrt()).min(1.0)
    }
}

impl Default for VerifyCost {
    fn default() -> Self {
        Self {
            first: 0.0,
            row: ROW,
        }
    }
}

impl VerifyCost {
    /// Counts a pass.
    pub fn observe(&mut self, rows: usize, took: Duration) {
        let (more, took) = (rows.saturating_sub(1) as f64, took.as_secs_f64());
        if took <= 0.0 {
            return;
        }
        smooth(&mut self.first, took / (1.0 + self.row * more));
        if more > 0.0 {
            let row = ((took / self.first - 1.0) / more).clamp(0.0, 1.0);
            self.row += ROW_GAIN * (row - self.row);
        }
    }

    /// Seconds of a pass of so many rows; as if one row took a second before any pass was seen.
    pub fn predict(&self, rows: f64) -> f64 {
        let first = if self.first > 0.0 { self.first } else { 1.0 };
        first * (1.0 + self.row * (rows - 1.0).max(0.0))
    }
}

impl DraftCost {
    /// Counts a block: its tokens, the drafter's own time for them, and the time from asking to having it; `None` for the first
    /// of a session, for which the drafter has read the prompt.
    pub fn observe(&mut self, tokens: usize, compute: Duration, latency: Option<Duration>) {
        if tokens == 0 {
            return;
        }
        let size = tokens as f64;
        // The drafter's own word, which need not be true.
        let compute = compute.min(LONGEST);
        smooth(&mut self.token, compute.as_secs_f64() / size);
        let Some(latency) = latency else {
            return;
        };
        // A block that was there before it was asked for has no latency, which is a latency all the same.
        smooth(&mut self.latency, latency.as_secs_f64().max(1e-9));
        smooth(&mut self.tokens, size);
    }

    /// Seconds that a block of so many tokens is waited for; none before anything was measured.
    ///
    /// A longer block adds only the part of its time that was not hidden behind verification: a block drafted ahead is there when
    /// it is asked for, however long it is.
    pub fn wait(&self, tokens: usize) -> f64 {
        let compute = self.tokens * self.token;
        let seen = if compute > 0.0 {
            (self.latency / compute).min(1.0)
        } else {
            1.0
        };
        (self.latency + (tokens as f64 - self.tokens) * self.token * seen).max(0.0)
    }
}

impl Length {
    /// For a session whose blocks have at most `longest` tokens, beginning with what is known of its drafter.
    pub fn new(longest: usize, survival: Survival, draft: DraftCost, verify: &VerifyCost) -> Self {
        let mut length = Self {
            survival,
            draft,
            longest,
            current: longest.min(4),
            proxies_a_token: 1.0,
            others: 0.0,
            pause: None,
        };
        length.choose(verify);
        // The first block costs little, since it is drafted while the prompt is read: it may as well tell something.
        if let Some(pause) = &mut length.pause {
            (pause.is_probing, pause.left) = (true, 0.0);
        }
        length
    }

    /// Draft tokens of the next block; 0 for a plain round.
    pub fn current(&self) -> usize {
        match self.pause {
            Some(Pause { is_probing, .. }) if !is_probing => 0,
            Some(_) => PROBE.min(self.longest),
            None => self.current,
        }
    }

    /// Counts how long a block took to come; see [`DraftCost::observe`].
    pub fn delivered(&mut self, tokens: usize, compute: Duration, latency: Option<Duration>) {
        self.draft.observe(tokens, compute, latency);
    }

    /// Counts a round, a plain one where nothing was drafted, and settles the next length. There are `others`
    /// besides this session.
    pub fn observe(&mut self, outcome: Option<Outcome>, others: usize, verify: &VerifyCost) {
        self.others += GAIN * (others as f64 - self.others);
        if let Some(outcome) = outcome.filter(|outcome| outcome.drafted > 0) {
            let memory = self.pause.map_or(MEMORY, |_| PROBE_MEMORY);
            self.survival
                .observe_with(outcome.drafted, outcome.stood, memory);
            let ratio = outcome.proxies as f64 / outcome.drafted as f64;
            self.proxies_a_token += GAIN * (ratio - self.proxies_a_token);
            if let Some(pause) = &mut self.pause {
                pause.is_probing = false;
                if outcome.stood > 0 {
                    pause.interval = pause.shortest;
                } else {
                    pause.interval = (2.0 * pause.interval).min(PROBE_ROUNDS.1);
                }
                pause.left = pause.interval;
            }
            self.choose(verify);
        } else if let Some(pause) = &mut self.pause {
            if pause.is_probing && pause.is_asked {
                // A probe that brought nothing is over too.
                pause.interval = (2.0 * pause.interval).min(PROBE_ROUNDS.1);
                (pause.left, pause.is_probing) = (pause.interval, false);
            } else {
                pause.left -= 1.0;
                pause.is_probing = pause.left <= 0.0;
            }
            pause.is_asked = pause.is_probing;
        } else {
            // No block came. What drafting is worth has not changed, what a pass costs may have.
            self.choose(verify);
        }
    }

    /// Counts a round for which the drafter had nothing to propose, or was not there yet. That says nothing of what its blocks
    /// are worth, and a probe goes on until there is one: it costs no more than a plain round.
    pub fn declined(&mut self, others: usize, verify: &VerifyCost) {
        self.others += GAIN * (others as f64 - self.others);
        match &mut self.pause {
            Some(pause) if !pause.is_probing => {
                pause.left -= 1.0;
                pause.is_probing = pause.left <= 0.0;
            }
            Some(_) => {}
            None => self.choose(verify),
        }
    }

    /// What a further row of a pass costs where blocks have the present length.
    pub fn row_cost(&self, verify: &VerifyCost) -> RowCost {
        let length = self.current().max(1);
        let row = verify.predict(2.0) - verify.predict(1.0);
        let goodputs = self.goodputs(verify, 0.0);
        let rate = goodputs.get(length - 1).copied().unwrap_or(0.0);
        RowCost {
            // All sessions wait for it.
            tokens: row * rate * (self.others + 1.0),
            share: row / self.seconds(length, verify),
        }
    }

    /// Seconds of a round with a block of so many tokens.
    fn seconds(&self, tokens: usize, verify: &VerifyCost) -> f64 {
        let rows = (self.others + 1.0) * (1.0 + self.proxies_a_token * tokens as f64);
        self.draft.wait(tokens) + verify.predict(rows)
    }

    fn choose(&mut self, verify: &VerifyCost) {
        let plain = 1.0 / verify.predict(self.others + 1.0);
        let expected = self.goodputs(verify, 0.0);
        let (best, goodput) = maximum(&expected);
        let current = expected.get(self.current.wrapping_sub(1));
        if goodput > BETTER * current.copied().unwrap_or(0.0) {
            self.current = best;
        }
        let (_, hoped) = maximum(&self.goodputs(verify, DOUBT));
        match self.pause {
            None if hoped < plain => {
                let probe =
                    self.draft.wait(PROBE) + verify.predict(self.others + 1.0 + PROBE as f64);
                let interval = (probe * plain - 1.0) / PROBE_SHARE;
                let interval = interval.clamp(PROBE_ROUNDS.0, PROBE_ROUNDS.1);
                self.pause = Some(Pause {
                    left: interval,
                    interval,
                    shortest: interval,
                    is_probing: false,
                    is_asked: false,
                });
            }
            Some(_) if hoped > WORTH * plain => self.pause = None,
            _ => {}
        }
    }

    /// Tokens a second with blocks of 1, 2, 3, … tokens, chances so many standard errors better than they look.
    fn goodputs(&self, verify: &VerifyCost, errors: f64) -> Vec<f64> {
        let (mut reaches, mut stands) = (1.0, 0.0);
        let goodput = |tokens| {
            reaches *= self.survival.hoped(tokens, errors);
            stands += reaches;
            (1.0 + self.proxies_a_token * stands) / self.seconds(tokens, verify)
        };
        (1..=self.longest).map(goodput).collect()
    }
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
