//! Selection of the tokens that a distribution keeps.
//!
//! Top-k, top-p and min-p all keep a beginning of one order, that of falling logits and, among equals,
//! rising ids. So what is looked for is the last token kept, and finding it needs no sorted vocabulary:
//! candidates are gathered from the top down until there are enough, and only they are partly ordered.
//! The highest logit of each block of the vocabulary shows which blocks can be skipped.

use std::cmp::Ordering;

use pulp::Arch;

use super::mass;
use kernels::exp;

/// A token and its logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TokenLogit {
    pub(super) logit: f32,
    pub(super) id: u32,
}

impl TokenLogit {
    /// Keeps everything.
    pub(super) const LEAST: Self = Self {
        logit: f32::NEG_INFINITY,
        id: u32::MAX,
    };

    /// Likelier tokens are less. No logit is NaN here.
    fn order(self, other: Self) -> Ordering {
        let by_logit = other.logit.partial_cmp(&self.logit);
        by_logit
            .unwrap_or(Ordering::Equal)
            .then(self.id.cmp(&other.id))
    }

    /// True if this, as the last token kept, keeps another one.
    pub(super) fn keeps(self, logit: f32, id: u32) -> bool {
        Self { logit, id }.order(self).is_le()
    }
}

/// Logits that share an entry in `Scaled::tops`.
const BLOCK: usize = 128;

/// Logits as the distribution scales them.
#[derive(Clone, Copy)]
pub(super) struct Scaled<'a> {
    pub(super) logits: &'a [f32],
    /// The highest of each block.
    pub(super) tops: &'a [f32],
    pub(super) highest: f32,
    /// One over temperature.
    pub(super) scale: f32,
}

/// Limits of what is kept.
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
        scratch: &mut Vec<TokenLogit>,
    ) -> Option<TokenLogit> {
        let mut last = None;
        let top_k = limits.top_k < self.logits.len();
        let top_p = limits.top_p < 1.0;
        if top_k {
            self.gather_count(limits.top_k, scratch);
            let (_, kept, _) = scratch.select_nth_unstable_by(limits.top_k - 1, |a, b| a.order(*b));
            last = Some(*kept);
            scratch.truncate(limits.top_k);
        }
        if top_p {
            let mass = if top_k {
                limits.top_p * self.mass(scratch)
            } else {
                let mass = limits.top_p * mass::sum(self.logits, self.highest, self.scale);
                self.gather_mass(mass, scratch);
                mass
            };
            last = self.reach(mass, scratch).or(last);
        }
        if limits.min_p > 0.0 {
            let lowest = self.highest + limits.min_p.ln() / self.scale;
            let floor = TokenLogit {
                logit: lowest,
                id: u32::MAX,
            };
            if last.is_none_or(|last| floor.logit > last.logit) {
                last = Some(floor);
            }
        }
        last
    }

    /// Leaves the `count` likeliest tokens in `into`, the likeliest first; all if there are fewer. `count` is at least 1.
    pub(super) fn likeliest(self, count: usize, into: &mut Vec<TokenLogit>) {
        self.gather_count(count.min(self.logits.len()), into);
        if count < into.len() {
            into.select_nth_unstable_by(count - 1, |a, b| a.order(*b));
            into.truncate(count);
        }
        into.sort_unstable_by(|a, b| a.order(*b));
    }

    /// Visits tokens in ascending order, all whose logit is `lowest` or more and perhaps others.
    pub(super) fn each_from(self, lowest: f32, mut visit: impl FnMut(u32, f32)) {
        for (place, (block, &top)) in self.logits.chunks(BLOCK).zip(self.tops).enumerate() {
            if top >= lowest {
                let first = (place * BLOCK) as u32;
                (first..)
                    .zip(block)
                    .for_each(|(id, &logit)| visit(id, logit));
            }
        }
    }

    /// Collects the tokens whose logit is `lowest` or more.
    fn gather(self, lowest: f32, into: &mut Vec<TokenLogit>) {
        into.clear();
        self.each_from(lowest, |id, logit| {
            if logit >= lowest {
                into.push(TokenLogit { logit, id });
            }
        });
    }

    /// Collects at least `count` tokens from the top: `count` blocks have a highest logit at or above the lowest of them.
    fn gather_count(self, count: usize, into: &mut Vec<TokenLogit>) {
        into.clear();
        into.extend(self.tops.iter().map(|&logit| TokenLogit { logit, id: 0 }));
        let lowest = if count <= into.len() {
            into.select_nth_unstable_by(count - 1, |a, b| a.order(*b))
                .1
                .logit
        } else {
            f32::NEG_INFINITY
        };
        self.gather(lowest, into);
    }

    /// Collects tokens from the top that have at least `mass` together, or all.
    fn gather_mass(self, mass: f64, into: &mut Vec<TokenLogit>) {
        let mut reach = 8.0;
        loop {
            self.gather(self.highest - reach / self.scale, into);
            if self.mass(into) >= mass || into.len() == self.logits.len() {
                return;
            }
            // Past any sensible reach all are taken in, the impossible too.
            reach = if reach < 64.0 {
                2.0 * reach
            } else {
                f32::INFINITY
            };
        }
    }

    fn weight(self, candidate: TokenLogit) -> f64 {
        f64::from(exp((candidate.logit - self.highest) * self.scale))
    }

    fn mass(self, candidates: &[TokenLogit]) -> f64 {
        candidates
            .iter()
            .map(|&candidate| self.weight(candidate))
            .sum()
    }

    /// The token at which the likeliest candidates reach `mass`, if they do. Orders only the part that
    /// holds it, by halving: linear in the number of candidates.
    fn reach(self, mass: f64, candidates: &mut [TokenLogit]) -> Option<TokenLogit> {
        let mut missing = mass;
        let mut part = candidates;
        let mut last = None;
        while !part.is_empty() {
            let middle = (part.len() - 1) / 2;
            part.select_nth_unstable_by(middle, |a, b| a.order(*b));
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

/// Leaves the highest logit of each block in `tops`. False if a logit is not a number or infinite upwards.
pub(super) fn find_tops(logits: &[f32], tops: &mut Vec<f32>) -> bool {
    tops.clear();
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut sensible = true;
            for block in logits.chunks(BLOCK) {
                // Several running maxima, so that the loop becomes vector code.
                let mut lanes = [f32::NEG_INFINITY; 16];
                for row in block.chunks(lanes.len()) {
                    for (lane, &logit) in lanes.iter_mut().zip(row) {
                        sensible &= logit < f32::INFINITY;
                        *lane = if logit > *lane { logit } else { *lane };
                    }
                }
                tops.push(lanes.into_iter().fold(f32::NEG_INFINITY, f32::max));
            }
            sensible
        },
    )
}
