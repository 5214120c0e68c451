//! Acceptance of draft tokens: the chance of a block's first token, and of each further one if those before it were accepted.
//!
//! Two numbers, not a table by position. A draft misses its first token far oftener than one that follows three right ones,
//! and beyond that the position says little; a simulation with eight classes of positions chose no better lengths.

/// Weight, in tokens tried, of the drafter's experience with other texts, next to what this text has shown.
const PRIOR_WEIGHT: f64 = 4.0;
/// Chances before a drafter has drafted anything: of the first token, and of each further one.
const UNKNOWN: (f64, f64) = (0.6, 0.7);
/// Blocks after which a drafter counts as known.
const KNOWN_BLOCKS: f64 = 3.0;
/// Most tokens of other texts that make a chance surer: texts differ.
const KNOWN_TOKENS: f64 = 20.0;
/// What a new block leaves of the weight of earlier ones: in one text about twenty blocks count, over all texts a hundred.
pub(crate) const OWN_MEMORY: f64 = 0.95;
pub(crate) const SHARED_MEMORY: f64 = 0.99;

/// Draft tokens tried and accepted, recent ones weighing more.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    tried: f64,
    accepted: f64,
}

/// Tokens of blocks: first ones, and further ones that follow accepted tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    first: Count,
    further: Count,
}

/// Chances that draft tokens are accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chances {
    /// Of a block's first token.
    first: f64,
    /// Of each further token, if all before it are accepted.
    further: f64,
    /// Standard errors of the two.
    errors: (f64, f64),
}

impl Count {
    fn observe(&mut self, tried: f64, accepted: f64, memory: f64) {
        // Evidence that a block does not renew is not forgotten: short blocks must not make long ones look bad.
        if tried > 0.0 {
            self.tried = memory * self.tried + tried;
            self.accepted = memory * self.accepted + accepted;
        }
    }

    /// Share of accepted tokens, `prior` counting as `PRIOR_WEIGHT` tokens.
    fn chance(self, prior: f64) -> f64 {
        (self.accepted + PRIOR_WEIGHT * prior) / (self.tried + PRIOR_WEIGHT)
    }

    /// Standard error of a chance, which the same drafter's other texts make smaller.
    fn error(self, chance: f64, shared: Self) -> f64 {
        let tried = self.tried + shared.tried.min(KNOWN_TOKENS) + PRIOR_WEIGHT;
        (chance * (1.0 - chance) / tried).sqrt()
    }
}

impl Tally {
    /// Counts a block of which the first `accepted` of `drafted` tokens were accepted.
    pub(crate) fn observe(&mut self, drafted: usize, accepted: usize, memory: f64) {
        if drafted == 0 {
            return;
        }
        self.first
            .observe(1.0, f64::from(u8::from(accepted > 0)), memory);
        // A block's last token is cut off where the target may want a longer one, so it is rejected oftener than the same token
        // would be within a block. A second token counts all the same: else blocks of two would teach nothing about longer ones.
        let inner = drafted.saturating_sub(1).max(2).min(drafted);
        let tried = accepted.min(inner - 1) as f64;
        let right = accepted.min(inner).saturating_sub(1) as f64;
        self.further.observe(tried, right, memory);
    }

    /// True once enough was drafted to go by.
    pub(crate) fn is_known(&self) -> bool {
        self.first.tried >= KNOWN_BLOCKS
    }

    /// Chances by this tally of one text, where `shared` tells those of the drafter with all texts.
    pub(crate) fn chances(&self, shared: &Tally) -> Chances {
        let first = self.first.chance(shared.first.chance(UNKNOWN.0));
        let further = self.further.chance(shared.further.chance(UNKNOWN.1));
        Chances {
            first,
            further,
            errors: (
                self.first.error(first, shared.first),
                self.further.error(further, shared.further),
            ),
        }
    }
}

impl Chances {
    /// The same chances, `errors` standard errors better than they look.
    #[must_use]
    pub(crate) fn hoped(self, errors: f64) -> Self {
        Self {
            first: (self.first + errors * self.errors.0).min(1.0),
            further: (self.further + errors * self.errors.1).min(1.0),
            ..self
        }
    }

    /// Expected number of accepted tokens of a block of `tokens`: first · (1 + further + further² + …).
    pub(crate) fn accepted(self, tokens: f64) -> f64 {
        let geometric = if self.further < 1.0 {
            (1.0 - self.further.powf(tokens)) / (1.0 - self.further)
        } else {
            tokens
        };
        self.first * geometric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(blocks: &[(usize, usize)]) -> Tally {
        let mut tally = Tally::default();
        for (drafted, accepted) in blocks {
            tally.observe(*drafted, *accepted, OWN_MEMORY);
        }
        tally
    }

    #[test]
    fn first_and_further_tokens_have_chances_of_their_own() {
        // Every other block misses at once, the others never.
        let blocks: Vec<_> = (0..100).map(|round| (8, 8 * (round % 2))).collect();
        let chances = tally(&blocks).chances(&Tally::default());
        assert!((chances.first - 0.5).abs() < 0.1, "{chances:?}");
        assert!(chances.further > 0.9, "{chances:?}");
        assert!((chances.accepted(8.0) - 4.0).abs() < 1.2, "{chances:?}");
    }

    #[test]
    fn rejected_last_token_says_nothing_about_longer_blocks() {
        // Any token is accepted where it is not the last.
        let blocks: Vec<_> = (0..200)
            .map(|round| (3 + round % 2, 2 + round % 2))
            .collect();
        let chances = tally(&blocks).chances(&Tally::default());
        assert!(chances.further > 0.85, "{chances:?}");
    }

    #[test]
    fn blocks_of_one_token_leave_the_chance_of_further_ones_alone() {
        let mut tally = tally(&[(6, 6); 40]);
        let before = tally.chances(&Tally::default()).further;
        for round in 0..200 {
            tally.observe(1, round % 2, OWN_MEMORY);
        }
        let after = tally.chances(&Tally::default());
        assert!((after.first - 0.5).abs() < 0.1 && (after.further - before).abs() < 1e-9);
    }

    #[test]
    fn text_of_its_own_outweighs_what_other_texts_have_shown() {
        let shared = tally(&[(4, 0); 100]);
        let fresh = Tally::default().chances(&shared);
        assert!(fresh.first < 0.15, "{fresh:?}");
        let own = tally(&[(4, 4); 10]).chances(&shared);
        assert!(own.first > 0.6, "{own:?}");
        assert!(!Tally::default().is_known() && shared.is_known());
    }

    #[test]
    fn certain_acceptance_accepts_every_token() {
        let chances = tally(&[(16, 16); 400]).chances(&tally(&[(16, 16); 400]));
        assert!((chances.hoped(9.0).accepted(5.0) - 5.0).abs() < 1e-9);
    }
}
