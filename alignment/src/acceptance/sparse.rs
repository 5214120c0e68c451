//! The distribution that a proposal was drawn from, as it crosses the wire: the tokens with mass, and their
//! probabilities. Checked where it enters, so that a rule never meets a distribution that could bias it.

use std::fmt;

use super::{PROPOSE, invert};
use crate::noise::Position;

/// Largest difference of a distribution's sum from 1: more than rounding to single precision of
/// many small ones, less than a distribution that lacks a token that matters.
const SUM_TOLERANCE: f64 = 1e-3;

/// A distribution over few tokens: its numbers divided by their sum. A drafter that
/// sends it draws from just that ([`SparseDistribution::sample`]): the distribution sent is the distribution sampled, after
/// temperature and every cut, and after rounding to the precision of the wire.
#[derive(Clone, Copy, Debug)]
pub struct SparseDistribution<'a> {
    ids: &'a [u32],
    masses: Masses<'a>,
    total: f64,
}

/// Reason that numbers are no distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SparseDistributionError {
    /// There is no token.
    Empty,
    /// The two lists are not parallel.
    Lengths {
        /// Number of ids.
        ids: usize,
        /// Number of log probabilities.
        log_probs: usize,
    },
    /// An id is not above the previous one.
    NotAscending {
        /// That id.
        id: u32,
    },
    /// An id is no token's.
    OutOfRange {
        /// That id.
        id: u32,
        /// Number of tokens.
        vocabulary: usize,
    },
    /// A log probability is not a number, infinite, or above 0.
    LogProb {
        /// The token.
        id: u32,
        /// Its natural-log probability.
        log_prob: f32,
    },
    /// The probabilities do not add up to 1.
    Sum {
        /// Their sum.
        sum: f64,
    },
}

/// Probabilities before normalising.
#[derive(Clone, Copy, Debug)]
enum Masses<'a> {
    /// Natural logarithms, as the wire has them.
    Logs(&'a [f32]),
    /// As computed here.
    Plain(&'a [f64]),
}

/// Looks up probabilities; quick where the ids asked for ascend.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    distribution: SparseDistribution<'a>,
    /// Ids before this one are below the id last asked for.
    at: usize,
}

impl<'a> SparseDistribution<'a> {
    /// Checks a distribution of a vocabulary with ids 0 to `vocabulary` - 1: `ids` strictly ascending,
    /// `log_probs` natural logarithms, finite and at most 0, their exponentials adding up to 1 within a
    /// thousandth. Tokens without mass are left out. O(s).
    pub fn new(
        ids: &'a [u32],
        log_probs: &'a [f32],
        vocabulary: usize,
    ) -> Result<Self, SparseDistributionError> {
        if ids.len() != log_probs.len() {
            let (ids, log_probs) = (ids.len(), log_probs.len());
            return Err(SparseDistributionError::Lengths { ids, log_probs });
        }
        let Some(last) = ids.last().copied() else {
            return Err(SparseDistributionError::Empty);
        };
        if let Some(pair) = ids.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(SparseDistributionError::NotAscending { id: pair[1] });
        }
        if last as usize >= vocabulary {
            let id = last;
            return Err(SparseDistributionError::OutOfRange { id, vocabulary });
        }
        let mut sum = 0.0;
        for (&id, &log_prob) in ids.iter().zip(log_probs) {
            if !log_prob.is_finite() || log_prob > 0.0 {
                return Err(SparseDistributionError::LogProb { id, log_prob });
            }
            sum += f64::from(log_prob).exp();
        }
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(SparseDistributionError::Sum { sum });
        }
        Ok(Self {
            ids,
            masses: Masses::Logs(log_probs),
            total: sum,
        })
    }

    /// A distribution of masses computed here: ids strictly ascending, `total` the sum of `masses` and positive.
    pub(super) fn of_masses(ids: &'a [u32], masses: &'a [f64], total: f64) -> Self {
        Self {
            ids,
            masses: Masses::Plain(masses),
            total,
        }
    }

    /// The tokens, ascending.
    pub fn ids(&self) -> &'a [u32] {
        self.ids
    }

    /// The probability of a token, 0 where the distribution does not name it. O(log s).
    pub fn probability(&self, id: u32) -> f64 {
        self.ids
            .binary_search(&id)
            .map_or(0.0, |at| self.mass(at) / self.total)
    }

    /// True if a token has mass, as a proposal must have in its own distribution. O(log s).
    pub fn contains(&self, id: u32) -> bool {
        self.probability(id) > 0.0
    }

    /// Draws a token: what a drafter proposes. The noise may be a place of any seed, the session's
    /// included: this stream of it is independent of those that acceptance draws from. O(s).
    pub fn sample(&self, noise: &Position) -> u32 {
        let mass = noise.uniform(PROPOSE) * self.total;
        invert(self.masses(), mass).unwrap_or_else(|| self.ids.first().copied().unwrap_or_default())
    }

    /// Tokens with their masses, before normalising.
    pub(super) fn masses(&self) -> impl Iterator<Item = (u32, f64)> {
        let ids = self.ids.iter().copied().enumerate();
        ids.map(|(at, id)| (id, self.mass(at)))
    }

    pub(super) fn cursor(self) -> Cursor<'a> {
        Cursor {
            distribution: self,
            at: 0,
        }
    }

    fn mass(&self, at: usize) -> f64 {
        match self.masses {
            Masses::Logs(logs) => f64::from(logs[at]).exp(),
            Masses::Plain(masses) => masses[at],
        }
    }
}

impl Cursor<'_> {
    /// The probability of a token: a comparison or two where ids come in ascending order and close
    /// together, a binary search otherwise.
    pub(super) fn probability(&mut self, id: u32) -> f64 {
        let ids = self.distribution.ids;
        if ids.get(self.at).is_some_and(|next| *next < id) {
            self.at += 1;
        }
        let above_last = self.at == 0 || ids[self.at - 1] < id;
        let below_next = ids.get(self.at).is_none_or(|next| id <= *next);
        if !(above_last && below_next) {
            self.at = ids.partition_point(|other| *other < id);
        }
        if ids.get(self.at) == Some(&id) {
            self.distribution.mass(self.at) / self.distribution.total
        } else {
            0.0
        }
    }
}

impl fmt::Display for SparseDistributionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the distribution names no token"),
            Self::Lengths { ids, log_probs } => {
                write!(f, "{ids} ids and {log_probs} log probabilities")
            }
            Self::NotAscending { id } => write!(f, "id {id} is not above the previous one"),
            Self::OutOfRange { id, vocabulary } => {
                write!(f, "id {id} in a vocabulary of {vocabulary} tokens")
            }
            Self::LogProb { id, log_prob } => write!(
                f,
                "log probability {log_prob} of id {id} is not a finite number of at most 0"
            ),
            Self::Sum { sum } => write!(f, "the probabilities add up to {sum:.6}, not to 1"),
        }
    }
}

impl std::error::Error for SparseDistributionError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::noise::SharedNoise;

    const HALF: f32 = -std::f32::consts::LN_2;

    fn check(ids: &[u32], log_probs: &[f32], expected: &str) {
        let refused = SparseDistribution::new(ids, log_probs, 10).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn numbers_that_are_no_distribution_are_refused_by_name() {
        let sum = "the probabilities add up to";
        check(&[], &[], "the distribution names no token");
        check(&[1], &[], "1 ids and 0 log probabilities");
        check(&[], &[0.0], "0 ids and 1 log probabilities");
        check(&[3, 3], &[HALF; 2], "id 3 is not above the previous one");
        check(&[3, 1], &[HALF; 2], "id 1 is not above the previous one");
        check(&[3, 10], &[HALF; 2], "id 10 in a vocabulary of 10 tokens");
        for (broken, shown) in [
            (f32::NAN, "NaN"),
            (f32::INFINITY, "inf"),
            (f32::NEG_INFINITY, "-inf"),
            (0.5, "0.5"),
        ] {
            let expected =
                format!("log probability {shown} of id 2 is not a finite number of at most 0");
            check(&[1, 2], &[0.0, broken], &expected);
        }
        check(&[1, 2], &[HALF, -1e4], &format!("{sum} 0.500000, not to 1"));
        check(&[1, 2], &[0.0, 0.0], &format!("{sum} 2.000000, not to 1"));
        check(&[1], &[-1e9], &format!("{sum} 0.000000, not to 1"));
    }

    #[test]
    fn distribution_stands_for_its_numbers_divided_by_their_sum() {
        let (ids, log_probs) = ([2, 5], [HALF - 5e-4, HALF]);
        let distribution = SparseDistribution::new(&ids, &log_probs, 6).unwrap();
        assert!((distribution.probability(2) + distribution.probability(5) - 1.0).abs() < 1e-15);
        assert!(distribution.probability(2) < 0.5 && distribution.contains(2));
        assert!(!distribution.contains(3));
    }

    #[test]
    fn drawn_tokens_follow_the_distribution() {
        const DRAWS: u64 = 40_000;
        let (ids, log_probs) = ([1, 4], [0.25_f32.ln(), 0.75_f32.ln()]);
        let distribution = SparseDistribution::new(&ids, &log_probs, 6).unwrap();
        let noise = SharedNoise::new(8);
        let ones = (0..DRAWS).filter(|at| distribution.sample(&noise.at(*at, 0)) == 1);
        let rate = ones.count() as f64 / DRAWS as f64;
        assert!((rate - 0.25).abs() < 0.01, "{rate}");
    }

    proptest! {
        #[test]
        fn cursor_finds_what_search_finds_in_any_order(
            ids in proptest::collection::btree_set(0_u32..40, 1..20),
            asked in proptest::collection::vec(0_u32..42, 0..60),
        ) {
            let ids: Vec<u32> = ids.into_iter().collect();
            let masses: Vec<f64> = ids.iter().map(|id| f64::from(*id) + 1.0).collect();
            let distribution = SparseDistribution::of_masses(&ids, &masses, masses.iter().sum());
            let (mut cursor, mut ascending) = (distribution.cursor(), distribution.cursor());
            for id in asked {
                let found = cursor.probability(id).to_bits();
                prop_assert_eq!(found, distribution.probability(id).to_bits());
            }
            for id in 0..42 {
                let found = ascending.probability(id).to_bits();
                prop_assert_eq!(found, distribution.probability(id).to_bits());
            }
        }
    }
}
