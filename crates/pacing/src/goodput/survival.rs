//! How far blocks stand: chances by position that a draft token stands.

/// First position of each class of positions that share a chance; the last class has no end.
const CLASSES: [usize; 8] = [1, 2, 3, 4, 6, 9, 13, 17];
/// What a block leaves of the weight of those before it: about twenty blocks are remembered.
pub(super) const MEMORY: f64 = 0.95;
/// The same where the blocks of many sessions are counted: what one of them is about must not decide for those that come.
const SHARED_MEMORY: f64 = 0.99;
/// Blocks of a drafter that say what the next may be worth.
const KNOWN: f64 = 3.0;
/// Trials that a chance is worth before any was seen at its position.
const PRIOR: f64 = 2.0;
/// The chance of a first token then.
const FIRST: f64 = 0.6;
/// How much of what the chance at the position before lacks of 1 a position has more then. A draft that is on the track stays there.
const RISE: f64 = 1.0 / 3.0;
/// Most trials at a position that the experience of others is worth to a session that begins.
const INHERITED: f64 = 4.0;

/// How far blocks stand: chances by position that a draft token stands if all before it do.
///
/// The last token of a block is counted apart. Where the block is cut the target may want a token that reaches further, so it
/// stands less often; counted with the others of its position, it would make blocks look bad that are longer.
#[derive(Clone, Debug)]
pub struct Survival {
    trials: [f64; CLASSES.len()],
    stood: [f64; CLASSES.len()],
    /// Trials, and those of them that stand, of the last token of blocks of several.
    last: (f64, f64),
    /// The chance at the first position where nothing was seen of it.
    first: f64,
}

/// Tokens that stand, on average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    /// Of a block of so many.
    pub(super) all: f64,
    /// Of as many at the beginning of a longer one.
    pub(super) inner: f64,
}

fn class(position: usize) -> usize {
    CLASSES.partition_point(|first| *first <= position) - 1
}

impl Default for Survival {
    fn default() -> Self {
        Self {
            trials: [0.0; CLASSES.len()],
            stood: [0.0; CLASSES.len()],
            last: (0.0, 0.0),
            first: FIRST,
        }
    }
}

impl Survival {
    /// Whether enough was seen to go by.
    pub(super) fn is_known(&self) -> bool {
        self.trials[0] >= KNOWN
    }

    /// Counts a block of one of many sessions.
    pub fn observe_shared(&mut self, drafted: usize, stood: usize) {
        self.observe_with(drafted, stood, SHARED_MEMORY);
    }

    /// Counts a block: its first `stood` of `drafted` tokens stand.
    pub fn observe(&mut self, drafted: usize, stood: usize) {
        self.observe_with(drafted, stood, MEMORY);
    }

    pub(super) fn observe_with(&mut self, drafted: usize, stood: usize, memory: f64) {
        let (mut trials, mut right) = ([0.0; CLASSES.len()], [0.0; CLASSES.len()]);
        // Of one token little more is known than that it is the first.
        let inner = if drafted > 1 { drafted - 1 } else { drafted };
        if inner < drafted && stood >= inner {
            self.last.0 = memory * self.last.0 + 1.0;
            self.last.1 = memory * self.last.1 + f64::from(u8::from(stood >= drafted));
        }
        for position in 1..=inner.min(stood + 1) {
            trials[class(position)] += 1.0;
            if position <= stood {
                right[class(position)] += 1.0;
            }
        }
        for class in 0..CLASSES.len() {
            // What was not tried is not forgotten: short blocks must not make long ones look bad.
            if trials[class] > 0.0 {
                self.trials[class] = memory * self.trials[class] + trials[class];
                self.stood[class] = memory * self.stood[class] + right[class];
            }
        }
    }

    /// The same chances, trusted no more than a beginner should trust the experience of others.
    #[must_use]
    pub fn inherited(&self) -> Self {
        let mut inherited = self.clone();
        inherited.first = self.chance(1);
        for (trials, stood) in inherited.trials.iter_mut().zip(&mut inherited.stood) {
            if *trials > INHERITED {
                *stood *= INHERITED / *trials;
                *trials = INHERITED;
            }
        }
        let scale = (INHERITED / inherited.last.0).min(1.0);
        inherited.last = (scale * inherited.last.0, scale * inherited.last.1);
        inherited
    }

    /// The chance that the token at `position`, counted from 1, stands if all before it do.
    pub fn chance(&self, position: usize) -> f64 {
        let (mut prior, mut chance) = (self.first, self.first);
        for class in 0..=class(position.max(1)) {
            chance = (self.stood[class] + PRIOR * prior) / (self.trials[class] + PRIOR);
            prior = chance + RISE * (1.0 - chance);
        }
        chance
    }

    /// The chance that a block's last token, at `position`, stands if all before it do.
    pub fn last_chance(&self, position: usize) -> f64 {
        let chance = self.chance(position);
        if position < 2 {
            return chance;
        }
        (self.last.1 + PRIOR * chance) / (self.last.0 + PRIOR)
    }

    /// What stands, on average, of blocks of 1, 2, 3, … tokens, chances so many standard errors better than they look.
    pub(super) fn stand(&self, errors: f64) -> impl Iterator<Item = Stand> {
        let (mut reaches, mut inner) = (1.0, 0.0);
        (1..).map(move |tokens| {
            let hoped = self.hoped(tokens, errors);
            let last = if tokens < 2 {
                hoped
            } else {
                self.last_chance(tokens).min(hoped)
            };
            let all = inner + reaches * last;
            reaches *= hoped;
            inner += reaches;
            Stand { all, inner }
        })
    }

    /// The same, so many standard errors better.
    fn hoped(&self, position: usize, errors: f64) -> f64 {
        let chance = self.chance(position);
        let trials = self.trials[class(position.max(1))] + PRIOR;
        (chance + errors * (chance * (1.0 - chance) / trials).sqrt()).min(1.0)
    }
}
