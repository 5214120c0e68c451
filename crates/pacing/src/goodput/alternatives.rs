//! How many alternatives a block has beside its chain: as many as bring more tokens than their rows cost time.
//!
//! An alternative that the target takes gives one token more in its round, or as many as it has: what would have been a
//! correction is accepted, and a bonus follows. It costs its rows of the pass. With R tokens a second committed as things are, a row
//! of s seconds is worth it if it brings more than s · R tokens.
//!
//! A drafter sends alternatives with the likeliest first, so they are judged by their rank, each by what it has brought. The
//! rank behind those in use is tried now and then, so that what was not worth it can become so.
//!
//! How long blocks are is chosen as if there were none: where they are used they bring what they cost, or more.

/// Alternatives of a block at most.
pub const MOST: usize = 4;

/// What a trial leaves of the weight of those before it: about fifty are remembered.
const MEMORY: f64 = 0.98;
/// Trials that nothing is known from, and the tokens that they brought.
const PRIOR: (f64, f64) = (2.0, 0.2);
/// Most trials that the experience of others is worth to a session that begins.
const INHERITED: f64 = 20.0;
/// Trials before a rank is taken into use.
const LEAST_TRIALS: f64 = 4.0;
/// A rank is taken into use where it brings so many times what its rows must.
const BETTER: f64 = 1.1;
/// Standard errors that a rank in use may be better than it looks, before it is given up.
const DOUBT: f64 = 1.0;
/// What trials may cost, as a part of all rounds.
const TRIAL_SHARE: f64 = 0.02;
/// Least and most rounds between trials.
const TRIAL_ROUNDS: (f64, f64) = (4.0, 512.0);
/// Rounds that a trial is waited for before it is put off.
const PATIENCE: f64 = 8.0;
/// Weight of new candidates in the mean.
const GAIN: f64 = 0.125;

/// What alternatives have brought, by rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hits {
    trials: [f64; MOST],
    brought: [f64; MOST],
}

/// What a round's alternatives came to.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Tokens that each brought, the first rank's first.
    pub brought: Vec<usize>,
    /// Candidates that all of them had for themselves.
    pub candidates: usize,
}

/// What a row costs as things are.
#[derive(Clone, Copy, Debug)]
pub struct RowCost {
    /// Tokens that are committed in the time of a row.
    pub tokens: f64,
    /// The time of a row as a part of a round's.
    pub share: f64,
}

/// The alternatives of one session.
#[derive(Clone, Debug)]
pub struct Alternatives {
    hits: Hits,
    /// Ranks in use.
    used: usize,
    /// Candidates of an alternative.
    candidates: f64,
    /// Rounds until the next trial; below 0: it is under way.
    left: f64,
}

impl Hits {
    /// Counts the alternatives of a round.
    pub fn observe(&mut self, tried: &Tried) {
        for (rank, brought) in tried.brought.iter().take(MOST).enumerate() {
            self.trials[rank] = MEMORY * self.trials[rank] + 1.0;
            self.brought[rank] = MEMORY * self.brought[rank] + *brought as f64;
        }
    }

    /// The same, trusted no more than a beginner should trust the experience of others.
    #[must_use]
    pub fn inherited(&self) -> Self {
        let mut inherited = *self;
        for (trials, brought) in inherited.trials.iter_mut().zip(&mut inherited.brought) {
            let scale = INHERITED / trials.max(INHERITED);
            *trials *= scale;
            *brought *= scale;
        }
        inherited
    }

    /// Tokens that an alternative of this rank brings.
    fn brings(&self, rank: usize) -> f64 {
        (self.brought[rank] + PRIOR.1) / (self.trials[rank] + PRIOR.0)
    }

    /// The same, so many standard errors better.
    fn hoped(&self, rank: usize, errors: f64) -> f64 {
        let (brings, trials) = (self.brings(rank), self.trials[rank] + PRIOR.0);
        let chance = brings.min(1.0);
        brings + errors * (chance * (1.0 - chance) / trials).sqrt()
    }
}

impl Alternatives {
    /// For a session, beginning with what is known of its drafter.
    pub fn new(hits: Hits) -> Self {
        Self {
            hits,
            used: 0,
            candidates: 1.0,
            left: TRIAL_ROUNDS.0,
        }
    }

    /// Alternatives of the next block.
    pub fn current(&self) -> usize {
        (self.used + usize::from(self.left <= 0.0)).min(MOST)
    }

    /// Counts a round with a block, whatever was asked for, and settles what the next one has.
    pub fn observe(&mut self, tried: &Tried, row: RowCost) {
        self.hits.observe(tried);
        if !tried.brought.is_empty() {
            let each = tried.candidates as f64 / tried.brought.len() as f64;
            self.candidates += GAIN * (each - self.candidates);
        }
        self.left -= 1.0;
        let beyond = tried.brought.len().saturating_sub(self.used) as f64;
        let interval =
            (self.candidates * row.share / TRIAL_SHARE).clamp(TRIAL_ROUNDS.0, TRIAL_ROUNDS.1);
        if beyond > 0.0 {
            // Blocks that were asked for before one came are trials too, and are paid for.
            self.left = self.left.max(0.0) + beyond * interval;
        } else if self.left < -PATIENCE {
            self.left = TRIAL_ROUNDS.1;
        }
        self.settle(self.candidates * row.tokens);
    }

    /// Takes the ranks into use that bring more than `needed` tokens.
    fn settle(&mut self, needed: f64) {
        let is_worth = |rank: usize| {
            if rank < self.used {
                self.hits.hoped(rank, DOUBT) > needed
            } else {
                self.hits.trials[rank] >= LEAST_TRIALS && self.hits.brings(rank) > BETTER * needed
            }
        };
        self.used = (0..MOST).take_while(|rank| is_worth(*rank)).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(brought: &[usize]) -> Tried {
        Tried {
            brought: brought.to_vec(),
            candidates: brought.len(),
        }
    }

    /// Rounds in which the alternatives that were asked for come, each rank bringing a token every so many times; what a round has.
    fn run(rounds: usize, every: [usize; MOST], row: RowCost) -> Vec<usize> {
        let mut alternatives = Alternatives::new(Hits::default());
        let (mut counts, mut tries) = (Vec::new(), [0; MOST]);
        for _ in 0..rounds {
            let count = alternatives.current();
            counts.push(count);
            let mut hit = |rank: usize| {
                tries[rank] += 1;
                usize::from(tries[rank] % every[rank] == 0)
            };
            let brought: Vec<usize> = (0..count).map(&mut hit).collect();
            alternatives.observe(&tried(&brought), row);
        }
        counts
    }

    const ROW: RowCost = RowCost {
        tokens: 0.2,
        share: 0.1,
    };

    #[test]
    fn ranks_that_bring_more_than_they_cost_are_used_and_no_others() {
        let late = |every| run(2000, every, ROW)[1000..].to_vec();
        // 1 in 3 and 1 in 4 are more than 0.2, 1 in 9 is not.
        let counts = late([3, 4, 9, 2]);
        assert!(
            counts.iter().all(|count| (2..=3).contains(count)),
            "{counts:?}"
        );
        let tries = counts.iter().filter(|count| **count == 3).count();
        // A trial takes a tenth of a round, so one in five rounds may be one.
        assert!((50..=250).contains(&tries), "{tries}");
        let counts = late([2, 2, 2, 2]);
        assert!(counts.iter().all(|count| *count == MOST), "{counts:?}");
    }

    #[test]
    fn what_brings_nothing_costs_no_more_than_trials_may() {
        for (share, most) in [(0.1, 0.25), (0.5, 0.06), (0.002, 0.3)] {
            let row = RowCost { tokens: 0.2, share };
            let counts = run(3000, [usize::MAX; MOST], row);
            let late = &counts[100..];
            assert!(late.iter().all(|count| *count <= 1));
            let rate = late.iter().sum::<usize>() as f64 / late.len() as f64;
            assert!(rate > 0.0 && rate <= most, "{share}: {rate}");
        }
    }

    #[test]
    fn drafter_that_sends_none_is_asked_now_and_then() {
        let mut alternatives = Alternatives::new(Hits::default());
        let asked = (0..2000).filter(|_| {
            let asks = alternatives.current() > 0;
            alternatives.observe(&Tried::default(), ROW);
            asks
        });
        let asked = asked.count();
        assert!((9..=45).contains(&asked), "{asked}");
    }

    #[test]
    fn blocks_that_bring_several_trials_at_once_are_paid_for() {
        let mut alternatives = Alternatives::new(Hits::default());
        alternatives.observe(&tried(&[0, 0]), ROW);
        // Two trials of a tenth of a round each, of which a fiftieth may be.
        assert!(
            (alternatives.left - 13.0).abs() < 1e-9,
            "{}",
            alternatives.left
        );
        assert_eq!(alternatives.current(), 0);
    }

    #[test]
    fn what_others_have_seen_serves_from_the_second_round_on_and_yields_to_what_is_seen() {
        let mut hits = Hits::default();
        for round in 0..500 {
            hits.observe(&tried(&[usize::from(round % 2 == 0)]));
        }
        let inherited = hits.inherited();
        assert!((inherited.trials[0] - INHERITED).abs() < 1e-9);
        assert!((hits.brings(0) - inherited.brings(0)).abs() < 0.05);
        let mut alternatives = Alternatives::new(inherited);
        alternatives.observe(&Tried::default(), ROW);
        assert_eq!(alternatives.current(), 1);
        for _ in 0..60 {
            alternatives.observe(&tried(&[0]), ROW);
        }
        assert_eq!(alternatives.used, 0);
    }

    #[test]
    fn a_few_trials_decide_nothing() {
        let mut alternatives = Alternatives::new(Hits::default());
        for _ in 0..3 {
            alternatives.observe(&tried(&[1]), ROW);
            assert_eq!(alternatives.used, 0);
        }
        alternatives.observe(&tried(&[1]), ROW);
        assert_eq!(alternatives.used, 0, "weights fade");
        alternatives.observe(&tried(&[1]), ROW);
        assert_eq!(alternatives.used, 1);
    }

    #[test]
    fn chances_are_what_was_counted_and_the_prior() {
        let mut hits = Hits::default();
        assert!((hits.brings(0) - 0.1).abs() < 1e-12);
        hits.observe(&tried(&[1, 0]));
        hits.observe(&tried(&[0]));
        let expected = (MEMORY + 0.2) / (MEMORY + 1.0 + 2.0);
        assert!((hits.brings(0) - expected).abs() < 1e-12);
        assert!((hits.brings(1) - 0.2 / 3.0).abs() < 1e-12);
        assert!(hits.hoped(0, 1.0) > hits.brings(0));
        // More ranks than are counted are none the worse.
        hits.observe(&tried(&[0; 9]));
    }
}
