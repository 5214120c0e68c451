//! Acceptance: what the target emits at one position, given its distribution and what was proposed there.
//!
//! A method decides position by position, so a block of any shape is walked with the same functions:
//! [`crate::round`] walks the candidate tree. `greedy` and `coupled` never look at the proposal: the token
//! they emit is a child of the node reached, or ends the round.
//!
//! The methods that no drafter can bias are `greedy`, `coupled` and `point_mass`. Those that use
//! the distribution its proposal was drawn from ([`SparseDistribution`]) keep more of a sampled draft, and are exact as far
//! as that distribution is the one it drew from: `standard` and `tli` by [`rejection`] over that distribution,
//! `path_conditional` over the [`conditional`] distribution of each candidate. [`token_timing`] is the published
//! rule and not exact. Every rule is a [`Rule`], exact numbers apart from the randomness that carries it
//! out, so that tests enumerate what it emits.
//!
//! Symbols: `target_prob` is the distribution after every processor and warper, x the proposed token, g(t) the
//! shared Gumbel variate of token t, u a uniform variate in (0,1).

pub mod alternatives;
mod conditional;
mod draft_distribution;
mod mapped;
mod method;
mod rule;
pub mod sharpness;
mod sparse;
mod timing;
mod token_map;

pub use conditional::{ConditionalError, PathDistribution, conditional, intersection};
pub use draft_distribution::DraftDistribution;
pub use mapped::{MappedBlock, Origin, UnmappedToken};
pub use method::{Drawn, Losslessness, Method, Proposal, UnknownMethod};
pub use rule::Rule;
pub use sparse::{SparseDistribution, SparseDistributionError};
pub use timing::{TransferError, token_timing, transfer};
pub use token_map::{TokenMap, TokenMapError};

use crate::TargetToken;
use crate::noise::{self, Position};

/// Streams of [`Position::uniform`] that acceptance draws from.
const ACCEPT: u32 = 0;
const RESIDUAL: u32 = 1;
const SAMPLE: u32 = 2;
const PROPOSE: u32 = 3;

/// A distribution over the next token: parallel slices of distinct ids and of their natural-log probabilities.
///
/// The functions here expect at least one id. Of an empty distribution they emit id 0, which no caller should
/// rely on; a log probability that is not finite counts as no probability.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'a> {
    /// Token ids, in any order, none twice.
    pub ids: &'a [u32],
    /// Natural-log probabilities of `ids`; their exponentials add up to 1 but for rounding.
    pub log_probs: &'a [f32],
}

/// Decision of one position. Its token is always the one that the target emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The candidate is accepted.
    Accepted(TargetToken),
    /// A correction: the target chose another token, and the rest of the block is dropped.
    Corrected(TargetToken),
    /// A bonus token: nothing was proposed here, since the whole block was accepted or there was none.
    Bonus(TargetToken),
}

impl Choice {
    /// Compares what the target emits with what was proposed.
    pub fn of(emitted: TargetToken, proposed: Option<TargetToken>) -> Self {
        match proposed {
            Some(proposed) if proposed == emitted => Self::Accepted(emitted),
            Some(_) => Self::Corrected(emitted),
            None => Self::Bonus(emitted),
        }
    }

    /// The token emitted.
    pub fn token(self) -> TargetToken {
        match self {
            Self::Accepted(token) | Self::Corrected(token) | Self::Bonus(token) => token,
        }
    }
}

/// The most probable id, the lowest one among equals. O(n).
///
/// Lossless where the target's distribution is the one id of temperature 0.
pub fn greedy(distribution: &Distribution<'_>) -> u32 {
    let mut best = Best::none(distribution);
    for (id, log_prob) in distribution.entries() {
        best.offer(id, log_prob);
    }
    best.id
}

/// The Gumbel-max sample under shared noise:
/// y = argmax over t of `sharpness` · log `target_prob`(t) + g(t), the lowest id among equals. O(n).
///
/// With `sharpness` 1 y is an exact sample of the distribution (the verifier's use). A drafter may use any
/// finite positive sharpness on its own distribution, and larger is nearer to greedy: it changes how often both
/// sides agree, never what the target emits. Drafter-invariant speculative decoding, arXiv 2408.07978.
///
/// `bytes` gives a token's exact bytes and its rank among tokens with equal bytes. No two tokens of a
/// vocabulary may have both alike: they would share one variate.
pub fn coupled<'b>(
    distribution: &Distribution<'_>,
    sharpness: f32,
    noise: &Position,
    bytes: impl Fn(u32) -> (&'b [u8], u32),
) -> u32 {
    let sharpness = f64::from(sharpness);
    let mut best = Best::none(distribution);
    for (id, log_prob) in distribution.entries() {
        let weight = sharpness * log_prob;
        // Neither test changes the outcome: each compares with an upper bound of the score.
        if weight + noise::LARGEST_GUMBEL < best.score {
            continue;
        }
        let (bytes, rank) = bytes(id);
        let hash = noise.hash(bytes, rank);
        if weight + noise::gumbel_bound(hash) < best.score {
            continue;
        }
        best.offer(id, weight + noise::gumbel(hash));
    }
    best.id
}

/// Accepts the proposal with probability `target_prob(proposed)`, else samples the distribution without it.
/// Returns the token emitted: a sample of the distribution with any drafter, provided the proposal was
/// fixed without knowledge of this noise (so a session's seed stays with the verifier). O(n).
///
/// Revealed-information argument with the whole draft revealed: r is a point mass, so
/// min(1, `target_prob`(x)/r(x)) = `target_prob`(x) and the residual is `target_prob` without x.
pub fn point_mass(distribution: &Distribution<'_>, proposed: u32, noise: &Position) -> u32 {
    Rule::point_mass(distribution, proposed).emit(noise)
}

/// Accepts the proposal with probability min(1, `target_prob(proposed)`/r(proposed)), else samples
/// norm(max(0, `target_prob` - r)), r being `proposal`, the distribution over target ids that `proposed` was
/// drawn from. Returns the token emitted: a sample of `distribution` if `proposal` is that distribution exactly.
///
/// Speculative sampling: Leviathan et al., arXiv 2211.17192, section 2.3; Chen et al., arXiv
/// 2302.01318, theorem 1. Both distributions are divided by their own sums. A proposal to which its own distribution
/// gives no mass breaks the contract, and is judged as by [`point_mass`].
///
/// O(n + s) for n ids in `distribution`, s in `proposal`, where both ascend, else O(n log s); allocates nothing.
pub fn rejection(
    distribution: &Distribution<'_>,
    proposed: u32,
    proposal: &SparseDistribution<'_>,
    noise: &Position,
) -> u32 {
    Rule::rejection(distribution, proposed, proposal).emit(noise)
}

/// A sample of the distribution by inversion; the bonus of the methods that draw proposals. O(n).
pub fn sample(distribution: &Distribution<'_>, noise: &Position) -> u32 {
    let total: f64 = distribution.masses().map(|(_, mass)| mass).sum();
    invert(distribution.masses(), noise.uniform(SAMPLE) * total)
        .unwrap_or_else(|| distribution.first())
}

impl Distribution<'_> {
    /// Ids with their log probabilities; what is not finite, no probability included, is left out.
    fn entries(&self) -> impl Iterator<Item = (u32, f64)> {
        let log_probs = self.log_probs.iter().copied().map(f64::from);
        let entries = self.ids.iter().copied().zip(log_probs);
        entries.filter(|(_, log_prob)| log_prob.is_finite())
    }

    /// Ids that have any mass with it, before normalising.
    fn masses(&self) -> impl Iterator<Item = (u32, f64)> {
        let masses = self.entries().map(|(id, log_prob)| (id, log_prob.exp()));
        masses.filter(|(_, mass)| *mass > 0.0)
    }

    fn first(&self) -> u32 {
        self.ids.first().copied().unwrap_or_default()
    }
}

/// The id at which the running mass first exceeds `mass`, and the last one with any where rounding left
/// `mass` at or above the whole sum; none where no id has mass.
fn invert(masses: impl Iterator<Item = (u32, f64)>, mass: f64) -> Option<u32> {
    let mut running = 0.0;
    let mut last = None;
    for (id, here) in masses.filter(|(_, here)| *here > 0.0) {
        running += here;
        last = Some(id);
        if mass < running {
            break;
        }
    }
    last
}

/// The best id so far. Order of the distribution does not matter: equal scores go to the lowest id.
struct Best {
    score: f64,
    id: u32,
}

impl Best {
    fn none(distribution: &Distribution<'_>) -> Self {
        Self {
            score: f64::NEG_INFINITY,
            id: distribution.first(),
        }
    }

    #[inline]
    fn offer(&mut self, id: u32, score: f64) {
        let wins = score > self.score;
        let ties = score >= self.score && id < self.id;
        if wins || ties {
            *self = Self { score, id };
        }
    }
}

#[cfg(test)]
mod tests;
