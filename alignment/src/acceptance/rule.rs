//! The rules that accept or replace one proposal, as exact numbers apart from the randomness that
//! carries them out.
//!
//! All of them have one form. Something is *taken* off the target's distribution, the proposal is accepted with
//! min(1, `target_prob`(x)/taken(x)), and a rejection samples norm(max(0, `target_prob` - taken)). What
//! is taken makes the difference: the distribution of the proposal, all of one token, or some scalar of one token.
//!
//! The first two are exact by one argument. Let F be all that is fixed before the proposal x is drawn
//! and r the distribution of x given F. With taken = r the token emitted given F follows `target_prob`; with F =
//! everything, r has all mass on x. A scalar that is neither is no distribution of x, and the result is biased.

use super::{ACCEPT, Distribution, RESIDUAL, SparseDistribution, invert, sample};
use crate::noise::Position;

/// Rule of one position for one proposal: its acceptance probability, and the distribution after a rejection.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    distribution: Distribution<'a>,
    proposed: u32,
    taken: Taken<'a>,
    /// Mass of the proposed token, before normalising.
    here: f64,
    /// Mass of all tokens, before normalising. Dividing by it instead of trusting that it is 1 costs no
    /// exactness to rounding of the distribution, and makes acceptance certain where nothing else has mass.
    total: f64,
    /// Mass of all tokens but the proposed, before normalising.
    others: f64,
}

#[derive(Clone, Copy, Debug)]
enum Taken<'a> {
    /// This much of the proposed token, nothing of the others.
    OfProposed(f64),
    /// A distribution.
    Distribution(SparseDistribution<'a>),
}

impl<'a> Rule<'a> {
    /// The rule of [`super::point_mass`]. O(n).
    pub fn point_mass(distribution: &Distribution<'a>, proposed: u32) -> Self {
        Self::new(distribution, proposed, Taken::OfProposed(1.0))
    }

    /// The rule of [`super::rejection`]. O(n).
    pub fn rejection(
        distribution: &Distribution<'a>,
        proposed: u32,
        proposal: &SparseDistribution<'a>,
    ) -> Self {
        let taken = if proposal.contains(proposed) {
            Taken::Distribution(*proposal)
        } else {
            Taken::OfProposed(1.0)
        };
        Self::new(distribution, proposed, taken)
    }

    /// The rule of [`super::token_timing`]; a scalar outside (0, 1] counts as 1. O(n).
    pub fn token_timing(distribution: &Distribution<'a>, proposed: u32, scalar: f64) -> Self {
        let usable = scalar > 0.0 && scalar <= 1.0;
        Self::new(
            distribution,
            proposed,
            Taken::OfProposed(if usable { scalar } else { 1.0 }),
        )
    }

    /// The probability with which the proposal is accepted. O(log s).
    pub fn acceptance(&self) -> f64 {
        if self.here > 0.0 {
            let taken = match self.taken {
                Taken::OfProposed(scalar) => scalar,
                Taken::Distribution(proposal) => proposal.probability(self.proposed),
            };
            (self.here / (taken * self.total)).min(1.0)
        } else {
            0.0
        }
    }

    /// The distribution of the token emitted, over the ids of the target's distribution with mass, in their order. Exact
    /// but for rounding; for enumeration, since it allocates. O(n log s).
    pub fn emitted(&self) -> Vec<(u32, f64)> {
        let residual = self.residual_mass();
        let accepted = if residual > 0.0 || self.here <= 0.0 {
            self.acceptance()
        } else {
            1.0
        };
        let replaced = 1.0 - accepted;
        let masses = self.distribution.masses().zip(self.residual());
        let emitted = masses.map(|((id, mass), (_, left))| {
            let instead = if residual > 0.0 {
                left / residual
            } else {
                mass / self.total
            };
            let kept = if id == self.proposed { accepted } else { 0.0 };
            (id, kept + replaced * instead)
        });
        emitted.collect()
    }

    /// The token emitted. Reads the distribution again after a rejection only.
    pub(super) fn emit(&self, noise: &Position) -> u32 {
        if noise.uniform(ACCEPT) < self.acceptance() {
            return self.proposed;
        }
        let mass = noise.uniform(RESIDUAL) * self.residual_mass();
        if let Some(id) = invert(self.residual(), mass) {
            return id;
        }
        // Nothing is left to replace the proposal with: the distributions are equal, and rejections rounding.
        if self.here > 0.0 {
            self.proposed
        } else {
            sample(&self.distribution, noise)
        }
    }

    fn new(distribution: &Distribution<'a>, proposed: u32, taken: Taken<'a>) -> Self {
        let (mut here, mut others) = (0.0, 0.0);
        for (id, mass) in distribution.masses() {
            if id == proposed {
                here += mass;
            } else {
                others += mass;
            }
        }
        Self {
            distribution: *distribution,
            proposed,
            taken,
            here,
            others,
            total: here + others,
        }
    }

    /// The normaliser of the residual, in the units of the distribution's masses.
    fn residual_mass(&self) -> f64 {
        match self.taken {
            Taken::OfProposed(scalar) => self.others + (self.here - scalar * self.total).max(0.0),
            // The two distributions overlap in the few ids of the proposal's alone, so
            // one exponential for each of these does.
            Taken::Distribution(proposal) => {
                let mut cursor = proposal.cursor();
                let common = self.distribution.entries().map(|(id, log_prob)| {
                    let taken = cursor.probability(id) * self.total;
                    if taken > 0.0 {
                        log_prob.exp().min(taken)
                    } else {
                        0.0
                    }
                });
                (self.total - common.sum::<f64>()).max(0.0)
            }
        }
    }

    /// max(0, `target_prob` - taken) by id, in the units of the distribution's masses.
    fn residual(&self) -> impl Iterator<Item = (u32, f64)> {
        let mut cursor = match self.taken {
            Taken::OfProposed(_) => None,
            Taken::Distribution(proposal) => Some(proposal.cursor()),
        };
        self.distribution.masses().map(move |(id, mass)| {
            let taken = match (&mut cursor, self.taken) {
                (Some(cursor), _) => cursor.probability(id),
                (None, Taken::OfProposed(scalar)) if id == self.proposed => scalar,
                (None, _) => 0.0,
            };
            (id, (mass - taken * self.total).max(0.0))
        })
    }
}
