//! Acceptance: what the target emits at one position, given its law and what was proposed there.
//!
//! A method decides position by position, so a block of any shape is walked with the same functions:
//! [`crate::round`] walks a list. A tree of candidates fits without a change here, because `greedy`
//! and `coupled` never look at the proposal: the token they emit either is one of the children of the
//! node reached or ends the round.
//!
//! Symbols: `target_prob` is the law after every processor and warper, x the proposed token, g(t) the
//! shared Gumbel variate of token t, u a uniform variate in (0,1).

mod method;

pub use method::{Losslessness, Method, UnknownMethod};

use crate::TargetToken;
use crate::noise::{self, Position};

/// Streams of [`Position::uniform`] that acceptance draws from.
const ACCEPT: u32 = 0;
const RESIDUAL: u32 = 1;
const SAMPLE: u32 = 2;

/// A law over the next token: parallel slices of distinct ids and of their natural-log probabilities.
///
/// The functions here expect at least one id. Of an empty law they emit id 0, which no caller should
/// rely on; a probability that is not a number counts as zero.
#[derive(Clone, Copy, Debug)]
pub struct Law<'a> {
    /// Token ids, in any order, none twice.
    pub ids: &'a [u32],
    /// Natural-log probabilities of `ids`; their exponentials add up to 1 but for rounding.
    pub log_probs: &'a [f32],
}

/// What one position decided. The token in it is always the one that the target emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The proposal stands.
    Accepted(TargetToken),
    /// The target says otherwise; the rest of the block is void.
    Corrected(TargetToken),
    /// Nothing was proposed here: the whole block stood, or there was none.
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
/// Lossless where the target's law is the one id of temperature 0.
pub fn greedy(law: &Law<'_>) -> u32 {
    let mut best = Best::none(law);
    for (id, log_prob) in law.entries() {
        best.offer(id, log_prob);
    }
    best.id
}

/// The Gumbel-max sample under shared noise:
/// y = argmax over t of `sharpness` · log `target_prob`(t) + g(t), the lowest id among equals. O(n).
///
/// With `sharpness` 1 y is an exact sample of the law (the verifier's use). A drafter may use any
/// finite positive sharpness on its own law, and larger is nearer to greedy: it changes how often both
/// sides agree, never what the target emits. Drafter-invariant speculative decoding, arXiv 2408.07978.
///
/// `bytes` gives a token's exact bytes and its rank among tokens with equal bytes. No two tokens of a
/// vocabulary may have both alike: they would share one variate.
pub fn coupled<'b>(
    law: &Law<'_>,
    sharpness: f32,
    noise: &Position,
    bytes: impl Fn(u32) -> (&'b [u8], u32),
) -> u32 {
    let sharpness = f64::from(sharpness);
    let mut best = Best::none(law);
    for (id, log_prob) in law.entries() {
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

/// Accepts the proposal with probability `target_prob(proposed)`, else samples the law without it.
/// Returns the token emitted: a sample of the law whatever proposed it, provided the proposal was
/// fixed without knowledge of this noise (so a session's seed stays with the verifier). O(n).
///
/// Revealed-information argument with the whole draft revealed: r is a point mass, so
/// min(1, `target_prob`(x)/r(x)) = `target_prob`(x) and the residual is `target_prob` without x.
pub fn point_mass(law: &Law<'_>, proposed: u32, noise: &Position) -> u32 {
    let rule = PointMass::new(law, proposed);
    if noise.uniform(ACCEPT) < rule.acceptance() {
        return proposed;
    }
    invert(
        law,
        |id| id != proposed,
        noise.uniform(RESIDUAL) * rule.others,
    )
}

/// A sample of the law by inversion; the bonus under `point_mass`. O(n).
pub fn sample(law: &Law<'_>, noise: &Position) -> u32 {
    let total: f64 = law.entries().map(|(_, log_prob)| log_prob.exp()).sum();
    invert(law, |_| true, noise.uniform(SAMPLE) * total)
}

impl Law<'_> {
    /// Ids with their log probabilities; what is not a number or has no probability is left out.
    fn entries(&self) -> impl Iterator<Item = (u32, f64)> {
        let log_probs = self.log_probs.iter().copied().map(f64::from);
        let entries = self.ids.iter().copied().zip(log_probs);
        entries.filter(|(_, log_prob)| *log_prob > f64::NEG_INFINITY)
    }
}

/// The `point_mass` rule as exact numbers, apart from the randomness that carries it out.
struct PointMass {
    /// Mass of the proposed token, before normalising.
    proposed: f64,
    /// Mass of all other tokens, before normalising: the residual's normaliser.
    others: f64,
}

impl PointMass {
    fn new(law: &Law<'_>, proposed: u32) -> Self {
        let mut rule = Self {
            proposed: 0.0,
            others: 0.0,
        };
        for (id, log_prob) in law.entries() {
            if id == proposed {
                rule.proposed += log_prob.exp();
            } else {
                rule.others += log_prob.exp();
            }
        }
        rule
    }

    /// Divided by the sum instead of trusting that it is 1: rounding of the law then costs no
    /// exactness, and acceptance is certain where the residual has no mass.
    fn acceptance(&self) -> f64 {
        if self.proposed > 0.0 {
            self.proposed / (self.proposed + self.others)
        } else {
            0.0
        }
    }
}

/// The id at which the running mass of the `admitted` ids first exceeds `mass`.
fn invert(law: &Law<'_>, admitted: impl Fn(u32) -> bool, mass: f64) -> u32 {
    let mut running = 0.0;
    let mut last = law.ids.first().copied().unwrap_or_default();
    for (id, log_prob) in law.entries().filter(|(id, _)| admitted(*id)) {
        running += log_prob.exp();
        last = id;
        if mass < running {
            break;
        }
    }
    last // also where rounding left `mass` at or above the whole sum
}

/// The best id so far. Order of the law does not matter: equal scores go to the lowest id.
struct Best {
    score: f64,
    id: u32,
}

impl Best {
    fn none(law: &Law<'_>) -> Self {
        Self {
            score: f64::NEG_INFINITY,
            id: law.ids.first().copied().unwrap_or_default(),
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
