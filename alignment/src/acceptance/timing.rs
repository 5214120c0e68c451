//! TokenTiming as published (arXiv 2510.15545): one scalar of the draft per candidate, carried over by the
//! warping path. **Not lossless**; here for comparison.
//!
//! min(1, `target_prob`/q) is exact only if q is the probability of the proposal under a distribution fixed
//! before it was drawn and the residual takes off all of that distribution. Here q belongs to a draft token,
//! not to the candidate, and the residual takes off one token's mass. Two ways in which it fails: a token
//! drafted whole and verified in parts reuses its q for each part, so that the later parts are never
//! rejected; of several tokens verified as one only the last one's q counts, which says nothing of
//! the others. `tests/counterexamples.rs` has the numbers.

use std::fmt;

use super::{Distribution, Rule};
use crate::aligned::Alignment;
use crate::noise::Position;

/// Reason that scalars cannot be transferred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TransferError {
    /// There is not one scalar for each draft token that the alignment covers.
    Lengths {
        /// Number of scalars.
        scalars: usize,
        /// Number of draft tokens.
        draft: usize,
    },
    /// A scalar is no probability above 0.
    Scalar {
        /// The draft token it is given for.
        index: usize,
        /// The scalar.
        value: f64,
    },
}

/// Accepts the proposal with probability min(1, `target_prob(proposed)`/`scalar`), else samples the distribution
/// without it. Returns the token emitted, which follows no distribution in particular unless `scalar` is 1, where
/// it is [`super::point_mass`]; a scalar outside (0, 1] counts as 1. O(n).
///
/// TokenTiming, arXiv 2510.15545, section 3.3, with the residual that one scalar allows.
pub fn token_timing(
    distribution: &Distribution<'_>,
    proposed: u32,
    scalar: f64,
    noise: &Position,
) -> u32 {
    Rule::token_timing(distribution, proposed, scalar).emit(noise)
}

/// The scalar of each candidate, from the probability that the draft gave each of its tokens: that of the
/// last draft token that the candidate touches. So a draft token that became several candidates lends each of
/// them its own, and several that became one lend it the last one's. O(k + m).
pub fn transfer(alignment: &Alignment, scalars: &[f64]) -> Result<Vec<f64>, TransferError> {
    let draft = alignment.groups().last().map_or(0, |last| last.draft.end);
    if scalars.len() != draft {
        let scalars = scalars.len();
        return Err(TransferError::Lengths { scalars, draft });
    }
    let broken = |scalar: &f64| !(*scalar > 0.0 && *scalar <= 1.0);
    if let Some(index) = scalars.iter().position(broken) {
        let value = scalars[index];
        return Err(TransferError::Scalar { index, value });
    }
    let touching = (0..).map_while(|candidate| alignment.touching(candidate));
    Ok(touching.map(|tokens| scalars[tokens.end - 1]).collect())
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengths { scalars, draft } => {
                write!(f, "{scalars} probabilities for {draft} draft tokens")
            }
            Self::Scalar { index, value } => write!(
                f,
                "probability {value} of draft token {index} is not above 0 and at most 1"
            ),
        }
    }
}

impl std::error::Error for TransferError {}
