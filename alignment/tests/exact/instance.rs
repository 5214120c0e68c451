//! Small pairs of vocabularies with distributions that are functions of the context, and everything that a round
//! over them can come to, with its probability.

use std::collections::BTreeMap;

use alignment::acceptance::{
    Distribution, PathDistribution, Rule, SparseDistribution, TokenMap, conditional, intersection,
};
use alignment::noise::SharedNoise;
use alignment::{DraftToken, TargetToken, Vocabulary};

/// Probabilities of the first target tokens of a reply.
pub(crate) type Texts = BTreeMap<Vec<u32>, f64>;

/// Target tokens by their bytes, the longest that fits first. The last one ends a reply.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) tokens: Vec<Vec<u8>>,
}

/// A distribution as the wire and the sampler have it.
#[derive(Clone, Debug)]
pub(crate) struct OwnedDistribution {
    ids: Vec<u32>,
    log_probs: Vec<f32>,
}

/// Two models.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    /// Draft tokens by their bytes; the last one ends a reply.
    pub(crate) draft: Vec<Vec<u8>>,
    pub(crate) target: Target,
    pub(crate) seed: u64,
}

/// Rule that judges each candidate of a draft token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    PointMass,
    /// The draft's distribution taken as one over target ids.
    Standard,
    Tli,
    PathConditional,
    /// Wrong: the probability of the draft token, for each of its candidates.
    ReusedScalar,
}

impl Vocabulary for Target {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.tokens.get(id as usize).map_or(&[], Vec::as_slice)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let mut rest = text.as_bytes();
        let mut ids = Vec::new();
        while !rest.is_empty() {
            let fits =
                |id: &usize| !self.tokens[*id].is_empty() && rest.starts_with(&self.tokens[*id]);
            let known = (0..self.tokens.len()).filter(fits);
            let Some(longest) = known.max_by_key(|id| self.tokens[*id].len()) else {
                break;
            };
            ids.push(longest as u32);
            rest = &rest[self.tokens[longest].len()..];
        }
        ids
    }
}

impl OwnedDistribution {
    pub(crate) fn of(masses: impl IntoIterator<Item = (u32, f64)>) -> Self {
        let (ids, masses): (Vec<u32>, Vec<f64>) =
            masses.into_iter().filter(|(_, mass)| *mass > 0.0).unzip();
        let total: f64 = masses.iter().sum();
        Self {
            ids,
            log_probs: masses
                .iter()
                .map(|m| ((m / total).ln() as f32).min(0.0))
                .collect(),
        }
    }

    pub(crate) fn dense(masses: &[f64]) -> Self {
        Self::of((0..).zip(masses.iter().copied()))
    }

    pub(crate) fn distribution(&self) -> Distribution<'_> {
        Distribution {
            ids: &self.ids,
            log_probs: &self.log_probs,
        }
    }

    pub(crate) fn sparse(&self) -> SparseDistribution<'_> {
        SparseDistribution::new(&self.ids, &self.log_probs, 1 << 20).expect("a distribution")
    }

    /// Probabilities of the stored numbers, normalised.
    pub(crate) fn probabilities(&self) -> Vec<(u32, f64)> {
        let masses = self.log_probs.iter().map(|lp| f64::from(*lp).exp());
        let total: f64 = masses.clone().sum();
        self.ids
            .iter()
            .copied()
            .zip(masses.map(|m| m / total))
            .collect()
    }
}

/// A number in [0, 1) that belongs to its arguments.
fn hash(seed: u64, context: &[u32], id: u32) -> f64 {
    let words = context.iter().chain([&id]);
    let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
    let hash = SharedNoise::new(seed).at(0, 0).hash(&bytes, 0);
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// Uneven, and without mass for one token in five.
fn mass(seed: u64, context: &[u32], id: u32) -> f64 {
    let drawn = hash(seed, context, id);
    if drawn < 0.2 {
        0.0
    } else {
        drawn.powi(3) + 1e-6
    }
}

impl Instance {
    pub(crate) fn map(&self) -> TokenMap {
        let ends = [(
            DraftToken(self.draft.len() as u32 - 1),
            TargetToken(self.target.tokens.len() as u32 - 1),
        )];
        TokenMap::new(self.draft.iter().map(Vec::as_slice), &self.target, &ends).expect("a map")
    }

    /// The target's distribution; the last id always has mass, so that there is a distribution.
    pub(crate) fn target_distribution(&self, context: &[u32]) -> OwnedDistribution {
        let last = self.target.tokens.len() as u32 - 1;
        let masses = (0..=last).map(|id| (id, mass(self.seed, context, id)));
        OwnedDistribution::of(masses.map(|(id, m)| (id, if id == last { m + 0.05 } else { m })))
    }

    /// The draft's distribution over the tokens that the method lets it draw.
    fn draft_distribution(
        &self,
        context: &[u32],
        map: &TokenMap,
        judge: Judge,
    ) -> OwnedDistribution {
        let last = self.draft.len() as u32 - 1;
        let drawn = |id: &u32| match judge {
            Judge::Standard => true,
            Judge::Tli => map.is_shared(*id),
            _ => !map.targets(*id).is_empty(),
        };
        let masses = (0..=last)
            .filter(drawn)
            .map(|id| (id, mass(!self.seed, context, id)));
        OwnedDistribution::of(masses.map(|(id, m)| (id, if id == last { m + 0.05 } else { m })))
    }

    /// Bytes of each block of `length` draft tokens, with its probability. Ends spell nothing.
    pub(crate) fn draft_blocks(&self, length: usize) -> Vec<(Vec<u8>, f64)> {
        let mut blocks = vec![(Vec::new(), 1.0)];
        for _ in 0..length {
            let longer = blocks.iter().flat_map(|(block, mass): &(Vec<u8>, f64)| {
                let at = block.len() + self.seed as usize % 1000;
                let weights = (0..self.draft.len()).map(|id| (at * 3 + id * 37) % 17 + 1);
                let weights: Vec<usize> = weights.collect();
                let share = mass / weights.iter().sum::<usize>() as f64;
                let tokens = self.draft.iter().zip(weights);
                tokens.map(move |(token, weight)| {
                    ([block.as_slice(), token].concat(), share * weight as f64)
                })
            });
            blocks = longer.collect();
        }
        blocks
    }

    /// The distribution of the first `length` target tokens without speculation.
    pub(crate) fn plain(&self, length: usize) -> Texts {
        let mut texts = Texts::new();
        self.go_on(Vec::new(), 1.0, length, &mut texts);
        texts
    }

    /// The same of a round over `block` draft tokens and what follows it.
    pub(crate) fn speculative(&self, judge: Judge, block: usize, length: usize) -> Texts {
        let mut walk = Walk {
            instance: self,
            map: self.map(),
            judge,
            length,
            texts: Texts::new(),
        };
        walk.draw(&mut Vec::new(), 1.0, block);
        walk.texts
    }

    fn is_whole(&self, text: &[u32], length: usize) -> bool {
        let end = self.target.tokens.len() as u32 - 1;
        text.len() == length || text.last() == Some(&end)
    }

    fn go_on(&self, text: Vec<u32>, p: f64, length: usize, texts: &mut Texts) {
        if self.is_whole(&text, length) {
            *texts.entry(text).or_default() += p;
            return;
        }
        for (id, q) in self.target_distribution(&text).probabilities() {
            self.go_on([text.as_slice(), &[id]].concat(), p * q, length, texts);
        }
    }
}

struct Walk<'a> {
    instance: &'a Instance,
    map: TokenMap,
    judge: Judge,
    length: usize,
    texts: Texts,
}

impl Walk<'_> {
    /// Every block of `more` further draft tokens, with its probability.
    fn draw(&mut self, block: &mut Vec<u32>, p: f64, more: usize) {
        if more == 0 {
            return self.verify(block, p);
        }
        let distribution = self
            .instance
            .draft_distribution(block, &self.map, self.judge);
        for (id, q) in distribution.probabilities() {
            block.push(id);
            self.draw(block, p * q, more - 1);
            block.pop();
        }
    }

    /// Every outcome of the round over a block.
    fn verify(&mut self, block: &[u32], p: f64) {
        let (mut text, mut p) = (Vec::new(), p);
        for (i, draft) in block.iter().enumerate() {
            let drawn_from = self
                .instance
                .draft_distribution(&block[..i], &self.map, self.judge);
            let path = match self.judge {
                Judge::Standard => vec![*draft],
                _ => self.map.targets(*draft).to_vec(),
            };
            for (j, candidate) in path.iter().enumerate() {
                if self.instance.is_whole(&text, self.length) {
                    break;
                }
                let emitted = self.judged(&text, &drawn_from, *draft, (&path[..j], *candidate));
                let mut kept = 0.0;
                for (id, q) in emitted {
                    if id == *candidate {
                        kept += q;
                    } else {
                        let corrected = [text.as_slice(), &[id]].concat();
                        self.instance
                            .go_on(corrected, p * q, self.length, &mut self.texts);
                    }
                }
                p *= kept;
                text.push(*candidate);
            }
        }
        // Also after full acceptance short of the length: the bonus is the target's own.
        self.instance.go_on(text, p, self.length, &mut self.texts);
    }

    /// The distribution of the token emitted in place of one candidate of a draft token, given the ones before it.
    fn judged(
        &self,
        text: &[u32],
        drawn_from: &OwnedDistribution,
        draft: u32,
        (prefix, candidate): (&[u32], u32),
    ) -> Vec<(u32, f64)> {
        let target = self.instance.target_distribution(text);
        let (target, r) = (target.distribution(), drawn_from.sparse());
        let mut out = PathDistribution::default();
        let rule = match self.judge {
            Judge::PointMass => Rule::point_mass(&target, candidate),
            Judge::Standard => Rule::rejection(&target, candidate, &r),
            Judge::Tli => {
                let r = intersection(&r, &self.map, &mut out).expect("a distribution");
                return Rule::rejection(&target, candidate, &r).emitted();
            }
            Judge::PathConditional => {
                let r = conditional(&r, &self.map, prefix, &mut out).expect("a distribution");
                return Rule::rejection(&target, candidate, &r).emitted();
            }
            Judge::ReusedScalar => Rule::token_timing(&target, candidate, r.probability(draft)),
        };
        rule.emitted()
    }
}

/// Half the sum of differences.
pub(crate) fn total_variation(a: &Texts, b: &Texts) -> f64 {
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    let of = |texts: &Texts, key| texts.get(key).copied().unwrap_or_default();
    keys.map(|key| (of(a, key) - of(b, key)).abs()).sum::<f64>() / 2.0
}
