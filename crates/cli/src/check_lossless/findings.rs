//! Findings of a check: differing texts, or tests of distributions.

use super::distribution::DistributionTests;
use super::same_text::TextComparison;

/// Findings of a check, by what the method promises.
pub(super) enum Findings {
    Texts(TextComparison),
    Distributions(DistributionTests),
}

impl Findings {
    /// True if a difference was found.
    pub(super) fn differs(&self) -> bool {
        match self {
            Self::Texts(comparison) => !comparison.differences.is_empty(),
            Self::Distributions(tests) => tests.differs(),
        }
    }
}
