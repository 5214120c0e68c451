//! Which tokens a law keeps.
//!
//! Top-k, top-p and min-p all keep a beginning of one order, that of falling logits and, among equals,
//! rising ids. So what is looked for is the last token kept, and finding it needs no sorted vocabulary:
//! candidates are gathered from the top down until there are enough, and only they are partly ordered.

use std::cmp::Ordering;

use super::exponential::{self, exponential};

/// A token and its logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) logit: f32,
    pub(super) id: u32,
}

impl Candidate {
    /// Likelier tokens are less.
    fn order(&self, other: &Self) -> Ordering {
        other
            .logit
            .total_cmp(&self.logit)
            .then(self.id.cmp(&other.id))
    }

    /// Whether this, as the last token kept, keeps another one.
    pub(super) fn keeps(&self, logit: f32, id: u32) -> bool {
        logit > self.logit || (logit == self.logit && id <= self.id)
    }
}

/// Logits as the law scales them.
#[derive(Clone, Copy)]
pub(super) struct Scaled<'a> {
    pub(super) logits: &'a [f32],
    pub(super) highest: f32,
    /// One over temperature.
    pub(super) scale: f32,
}

/// How much to keep.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) top_k: usize,
    pub(super) top_p: f64,
    pub(super) min_p: f32,
}

impl Scaled<'_> {
    /// The last token kept by `limits`, if they leave anything out. `scratch` is overwritten.
    pub(super) fn last_kept(
        self,
        limits: Limits,
        scratch: &mut Vec<Candidate>,
    ) -> Option<Candidate> {
        let mut last = None;
        let top_k = limits.top_k < self.logits.len();
        let top_p = limits.top_p < 1.0;
        if top_k {
            self.gather_count(limits.top_k, scratch);
            scratch.select_nth_unstable_by(limits.top_k - 1, Candidate::order);
            scratch.truncate(limits.top_k);
            last = scratch.iter().max_by(|a, b| a.order(b)).copied();
        }
        if top_p {
            let mass = if top_k {
                limits.top_p * self.mass(scratch)
            } else {
                let mass = limits.top_p * exponential::sum(self.logits, self.highest, self.scale);
                self.gather_mass(mass, scratch);
                mass
            };
            last = self.reach(mass, scratch).or(last);
        }
        if limits.min_p > 0.0 {
            let lowest = self.highest + limits.min_p.ln() / self.scale;
            let floor = Candidate {
                logit: lowest,
                id: u32::MAX,
            };
            if last.is_none_or(|last| floor.logit > last.logit) {
                last = Some(floor);
            }
        }
        last
    }

    /// Collects the tokens that are at most `reach` below the highest, in scaled logits.
    fn gather(self, reach: f32, into: &mut Vec<Candidate>) {
        into.clear();
        let lowest = self.highest - reach / self.scale;
        for (id, &logit) in (0..).zip(self.logits) {
            if logit >= lowest {
                into.push(Candidate { logit, id });
            }
        }
    }

    /// Collects at least `count` tokens from the top.
    fn gather_count(self, count: usize, into: &mut Vec<Candidate>) {
        let mut reach = 4.0;
        self.gather(reach, into);
        while into.len() < count {
            reach = widened(reach);
            self.gather(reach, into);
        }
    }

    /// Collects tokens from the top that have at least `mass` together, or all.
    fn gather_mass(self, mass: f64, into: &mut Vec<Candidate>) {
        let mut reach = 8.0;
        self.gather(reach, into);
        while self.mass(into) < mass && into.len() < self.logits.len() {
            reach = widened(reach);
            self.gather(reach, into);
        }
    }

    fn weight(self, candidate: &Candidate) -> f64 {
        f64::from(exponential((candidate.logit - self.highest) * self.scale))
    }

    fn mass(self, candidates: &[Candidate]) -> f64 {
        candidates
            .iter()
            .map(|candidate| self.weight(candidate))
            .sum()
    }

    /// The token at which the likeliest candidates reach `mass`, if they do. Orders only the part that
    /// holds it, by halving: linear in the number of candidates.
    fn reach(self, mass: f64, candidates: &mut [Candidate]) -> Option<Candidate> {
        let mut missing = mass;
        let mut part = candidates;
        let mut last = None;
        while !part.is_empty() {
            let middle = (part.len() - 1) / 2;
            part.select_nth_unstable_by(middle, Candidate::order);
            let upper = self.mass(&part[..=middle]);
            if upper >= missing {
                last = Some(part[middle]);
                part = &mut part[..middle];
            } else {
                missing -= upper;
                part = &mut part[middle + 1..];
            }
        }
        last
    }
}

/// The next reach; past any sensible one it takes in everything, the impossible too.
fn widened(reach: f32) -> f32 {
    if reach < 64.0 {
        2.0 * reach
    } else {
        f32::INFINITY
    }
}
