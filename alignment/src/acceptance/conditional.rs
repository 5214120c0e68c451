//! The distribution of the next target token, from the distribution that a draft token was drawn from: what makes a
//! transfer of probabilities across tokenizers exact.
//!
//! Symbols: tau the [`TokenMap`], `draft_prob` the distribution over draft tokens d, t the target tokens of the
//! proposed one, j the index of the target token asked for.
//!
//! ```text
//! r_j(t_j) = sum of draft_prob(d) over d whose tau(d) starts with t_0..t_j
//!          / sum of draft_prob(d) over d whose tau(d) starts with t_0..t_{j-1} and is longer
//! ```
//!
//! It is the distribution of target token j given what is revealed before it: the tokens before it, and that the draft
//! token goes on. Reusing one scalar of d for each of its tokens, as the published rule does, is no such
//! distribution, and biased.

use std::fmt;

use super::{SparseDistribution, TokenMap};

/// Room for a distribution computed here, reused from position to position.
#[derive(Clone, Debug, Default)]
pub struct PathDistribution {
    entries: Vec<(u32, f64)>,
    ids: Vec<u32>,
    masses: Vec<f64>,
}

/// Reason that the draft's distribution gives none over target tokens. Each breaks the drafter's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionalError {
    /// A draft token has mass and no target tokens.
    Unmapped {
        /// That token.
        id: u32,
    },
    /// A draft token has mass and is not one target token, under a method that needs it to be.
    NotShared {
        /// That token.
        id: u32,
    },
    /// No draft token with mass has target tokens that begin with the prefix and go on.
    NothingGoesOn,
}

/// The distribution of the target token that follows `prefix`, the target tokens of the present draft token that
/// are already emitted (none at its first). `draft_distribution` is the distribution that draft token was drawn from.
///
/// O(s·|prefix| + s log s) for the s draft tokens of the distribution, independent of both vocabularies:
/// one scatter, then a sort by id. Allocates only until `out` has room for s.
pub fn conditional<'o>(
    draft_distribution: &SparseDistribution<'_>,
    map: &TokenMap,
    prefix: &[u32],
    out: &'o mut PathDistribution,
) -> Result<SparseDistribution<'o>, ConditionalError> {
    out.entries.clear();
    for (id, mass) in draft_distribution.masses() {
        let path = map.targets(id);
        if path.is_empty() {
            return Err(ConditionalError::Unmapped { id });
        }
        if let Some([next, ..]) = path.strip_prefix(prefix) {
            out.entries.push((*next, mass));
        }
    }
    out.gather().ok_or(ConditionalError::NothingGoesOn)
}

/// The distribution over target tokens of a draft that draws shared tokens only: token-level intersection,
/// Timor et al., arXiv 2502.05202, algorithm 4. As [`conditional`] without a prefix.
pub fn intersection<'o>(
    draft_distribution: &SparseDistribution<'_>,
    map: &TokenMap,
    out: &'o mut PathDistribution,
) -> Result<SparseDistribution<'o>, ConditionalError> {
    match draft_distribution
        .ids()
        .iter()
        .find(|id| !map.is_shared(**id))
    {
        Some(id) => Err(ConditionalError::NotShared { id: *id }),
        None => conditional(draft_distribution, map, &[], out),
    }
}

impl PathDistribution {
    /// The distribution computed last; none before there was one. O(s).
    pub fn distribution(&self) -> Option<SparseDistribution<'_>> {
        let total: f64 = self.masses.iter().sum();
        (total > 0.0).then(|| SparseDistribution::of_masses(&self.ids, &self.masses, total))
    }

    /// The distribution of the entries, those of one id added up; none without mass.
    fn gather(&mut self) -> Option<SparseDistribution<'_>> {
        self.ids.clear();
        self.masses.clear();
        self.entries.sort_unstable_by_key(|(id, _)| *id);
        for &(id, mass) in &self.entries {
            match self.masses.last_mut() {
                Some(last) if self.ids.last() == Some(&id) => *last += mass,
                _ => {
                    self.ids.push(id);
                    self.masses.push(mass);
                }
            }
        }
        self.distribution()
    }
}

impl fmt::Display for ConditionalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped { id } => {
                write!(f, "draft token {id} has mass and no target tokens")
            }
            Self::NotShared { id } => {
                write!(f, "draft token {id} has mass and is not one target token")
            }
            Self::NothingGoesOn => f.write_str("no draft token with mass goes on from here"),
        }
    }
}

impl std::error::Error for ConditionalError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DraftToken, TargetToken, Vocabulary};

    /// Letters by themselves: a is 0, b is 1 and so on.
    struct Letters;

    impl Vocabulary for Letters {
        fn token_bytes(&self, id: u32) -> &[u8] {
            let at = id as usize;
            b"abcdefghij".get(at..=at).unwrap_or_default()
        }

        fn encode(&self, text: &str) -> Vec<u32> {
            text.bytes().map(|b| u32::from(b - b'a')).collect()
        }
    }

    fn map(draft: &[&[u8]]) -> TokenMap {
        TokenMap::new(
            draft.iter().copied(),
            &Letters,
            &[(DraftToken(0), TargetToken(9))],
        )
        .unwrap()
    }

    /// Probabilities by draft id as logarithms, one after another from 1.
    fn check(
        draft: &[&[u8]],
        masses: &[f64],
        prefix: &[u32],
        expected: Result<&[(u32, f64)], ConditionalError>,
    ) {
        let ids: Vec<u32> = (0..masses.len() as u32).collect();
        let distribution = SparseDistribution::of_masses(&ids, masses, masses.iter().sum());
        let mut out = PathDistribution::default();
        let found = conditional(&distribution, &map(draft), prefix, &mut out);
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found.ids().len(), expected.len());
                for (id, p) in expected {
                    assert!((found.probability(*id) - p).abs() < 1e-15, "{found:?}");
                }
            }
            (found, expected) => assert_eq!(found.err(), expected.err()),
        }
    }

    const DRAFT: [&[u8]; 5] = [b"", b"ab", b"ac", b"a", b"b"];
    const MASSES: [f64; 5] = [0.1, 0.2, 0.3, 0.15, 0.25];

    #[test]
    fn masses_of_tokens_that_begin_alike_add_up() {
        check(&DRAFT, &MASSES, &[], Ok(&[(0, 0.65), (1, 0.25), (9, 0.1)]));
    }

    #[test]
    fn tokens_that_end_at_the_prefix_leave_the_distribution() {
        check(&DRAFT, &MASSES, &[0], Ok(&[(1, 0.4), (2, 0.6)]));
    }

    #[test]
    fn tokens_with_equal_paths_count_as_one() {
        let draft: [&[u8]; 3] = [b"", b"ab", b"ab"];
        check(&draft, &[0.5, 0.2, 0.3], &[0], Ok(&[(1, 1.0)]));
    }

    #[test]
    fn distribution_without_target_tokens_is_refused_by_name() {
        let goes_nowhere = Err(ConditionalError::NothingGoesOn);
        check(&DRAFT, &MASSES, &[1], goes_nowhere);
        check(&DRAFT, &MASSES, &[0, 1], goes_nowhere);
        let unmapped = Err(ConditionalError::Unmapped { id: 5 });
        check(&DRAFT, &[0.1; 6], &[], unmapped);
        let distribution = SparseDistribution::of_masses(&[0, 1], &[0.5; 2], 1.0);
        let mut out = PathDistribution::default();
        let refused = intersection(&distribution, &map(&DRAFT), &mut out);
        assert_eq!(refused.err(), Some(ConditionalError::NotShared { id: 1 }));
    }
}
