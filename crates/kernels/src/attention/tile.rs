//! The arithmetic of attention: some queries over one head of keys and values.
//!
//! Plain loops over arrays of sixteen, which the compiler makes vector code of wherever it is dispatched to; the order of
//! additions is written out by them and the same for every instruction set.

use std::hint::black_box;
use std::ops::Range;

use pulp::{Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use crate::avx512::{self, Vnni};
use crate::exponential::exp;

/// Numbers that are added up in parallel.
const LANES: usize = 16;
/// Keys, then values, that are read for all queries before the next ones, so that they stay in the nearest cache.
const KEYS: usize = 32;
/// Numbers of a result that are held in registers while values are added.
const HELD: usize = 4 * LANES;

/// One row's head.
pub(super) struct Query<'a> {
    pub(super) vector: &'a [f32],
    /// Consecutive positions that it sees.
    pub(super) keys: Range<usize>,
    /// Positions of its path in the tree, after those that all rows may see.
    pub(super) path: &'a [u32],
}

impl Query<'_> {
    fn seen(&self) -> usize {
        self.keys.len() + self.path.len()
    }
}

/// Some queries over one head of keys.
pub(super) struct Tile<'a> {
    /// `(positions, dim)`.
    pub(super) keys: &'a [f32],
    /// `(positions, dim)`.
    pub(super) values: &'a [f32],
    pub(super) dim: usize,
    /// Positions that all rows may see; a row's path counts from there.
    pub(super) shared: usize,
    pub(super) queries: &'a [Query<'a>],
    pub(super) scale: f32,
    pub(super) folding: Folding,
    /// Room to work in.
    pub(super) scores: &'a mut Vec<f32>,
    /// `(queries, dim)`.
    pub(super) out: &'a mut [f32],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            keys,
            values,
            dim,
            shared,
            queries,
            scale,
            folding,
            scores,
            out,
        } = self;
        let mut width = 0;
        let (mut first, mut end) = (usize::MAX, 0);
        for query in queries {
            width = width.max(query.seen());
            first = first.min(query.keys.start);
            end = end.max(query.keys.end);
        }
        // Every one that is read is written before.
        scores.resize(queries.len() * width, 0.0);
        let mut block = first;
        while block < end {
            let part = block..(block + KEYS).min(end);
            for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(width)) {
                let part = both(&query.keys, &part);
                let from = part.start - query.keys.start;
                let scores = &mut scores[from..from + part.len()];
                score(&keys[part.start * dim..], query.vector, scores, folding);
            }
            block += KEYS;
        }
        for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(width)) {
            let path = &mut scores[query.keys.len()..query.seen()];
            for (slot, row) in path.iter_mut().zip(query.path) {
                let at = (shared + *row as usize) * dim;
                score(
                    &keys[at..],
                    query.vector,
                    std::slice::from_mut(slot),
                    folding,
                );
            }
            soften(&mut scores[..query.seen()], scale);
        }
        let mut block = first;
        while block < end {
            let part = block..(block + KEYS).min(end);
            let outs = out.chunks_exact_mut(dim);
            for ((query, scores), out) in queries.iter().zip(scores.chunks_exact(width)).zip(outs) {
                let part = both(&query.keys, &part);
                let from = part.start - query.keys.start;
                let weights = &scores[from..from + part.len()];
                add(&values[part.start * dim..], weights, out);
            }
            block += KEYS;
        }
        let outs = out.chunks_exact_mut(dim);
        for ((query, scores), out) in queries.iter().zip(scores.chunks_exact(width)).zip(outs) {
            let weights = &scores[query.keys.len()..query.seen()];
            for (weight, row) in weights.iter().zip(query.path) {
                let at = (shared + *row as usize) * dim;
                add(&values[at..], std::slice::from_ref(weight), out);
            }
        }
    }
}

/// Intersection of two ranges; empty and within the first if they are apart.
#[inline(always)]
fn both(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    let start = one.start.max(other.start).min(one.end);
    start..one.end.min(other.end).max(start)
}

/// Products of a query with as many keys as there are scores, `(keys, dim)`.
#[inline(always)]
fn score(keys: &[f32], query: &[f32], scores: &mut [f32], folding: Folding) {
    let dim = query.len();
    let (groups, few) = scores.as_chunks_mut::<LANES>();
    let mut keys = keys.chunks_exact(dim);
    for group in groups {
        let mut lanes = [[0f32; LANES]; LANES];
        let mut rests = [&[][..]; LANES];
        for ((lanes, rest), key) in lanes.iter_mut().zip(&mut rests).zip(&mut keys) {
            (*lanes, *rest) = products(query, key);
        }
        *group = folding.sums(&lanes);
        for (score, rest) in group.iter_mut().zip(rests) {
            add_rest(score, query, rest);
        }
    }
    for (score, key) in few.iter_mut().zip(keys) {
        let (lanes, rest) = products(query, key);
        // Through memory: in one piece with the sum over them, the compiler tears the sixteen sums into shapes that suit only
        // that, and takes ten times as long.
        *score = sum(&black_box(lanes));
        add_rest(score, query, rest);
    }
}

/// Products of a query with a key, in sixteen sums, and what is left of the key.
#[inline(always)]
fn products<'a>(query: &[f32], key: &'a [f32]) -> ([f32; LANES], &'a [f32]) {
    let (key, rest) = key.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for (query, key) in query.as_chunks::<LANES>().0.iter().zip(key) {
        for lane in 0..LANES {
            sums[lane] = query[lane].mul_add(key[lane], sums[lane]);
        }
    }
    (sums, rest)
}

/// Adds the products with what is left of a key.
#[inline(always)]
fn add_rest(score: &mut f32, query: &[f32], key: &[f32]) {
    for (query, key) in query[query.len() - key.len()..].iter().zip(key) {
        *score = query.mul_add(*key, *score);
    }
}

/// Way in which sixteen sums of sixteen become sixteen numbers. Every way gives the same bits.
#[derive(Clone, Copy)]
pub(super) enum Folding {
    #[cfg(target_arch = "x86_64")]
    Vector(Vnni),
    Plain,
}

impl Folding {
    /// The fastest that this processor has.
    pub(super) fn here() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(vnni) = Vnni::detect() {
            return Self::Vector(vnni);
        }
        Self::Plain
    }

    #[inline(always)]
    fn sums(self, lanes: &[[f32; LANES]; LANES]) -> [f32; LANES] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vector(vnni) => avx512::sums(vnni, lanes),
            Self::Plain => lanes.map(|lanes| sum(&black_box(lanes))),
        }
    }
}

/// The sum of sixteen numbers, halves added to halves.
#[inline(always)]
fn sum(lanes: &[f32; LANES]) -> f32 {
    let (mut eight, mut four) = ([0f32; 8], [0f32; 4]);
    for lane in 0..8 {
        eight[lane] = lanes[lane] + lanes[lane + 8];
    }
    for lane in 0..4 {
        four[lane] = eight[lane] + eight[lane + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Makes weights of scores: positive, of sum 1.
#[inline(always)]
fn soften(scores: &mut [f32], scale: f32) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks.iter_mut() {
        for lane in 0..LANES {
            chunk[lane] *= scale;
            largest[lane] = if chunk[lane] > largest[lane] {
                chunk[lane]
            } else {
                largest[lane]
            };
        }
    }
    for (score, largest) in rest.iter_mut().zip(&mut largest) {
        *score *= scale;
        *largest = if *score > *largest { *score } else { *largest };
    }
    let mut most = largest[0];
    for largest in &largest[1..] {
        most = if *largest > most { *largest } else { most };
    }
    let mut total = [0f32; LANES];
    for chunk in chunks.iter_mut() {
        for lane in 0..LANES {
            chunk[lane] = exp(chunk[lane] - most);
            total[lane] += chunk[lane];
        }
    }
    for (score, total) in rest.iter_mut().zip(&mut total) {
        *score = exp(*score - most);
        *total += *score;
    }
    let inverse = 1.0 / sum(&total);
    for score in scores {
        *score *= inverse;
    }
}

/// Adds as many values as there are weights, `(values, dim)`, each times its weight.
#[inline(always)]
fn add(values: &[f32], weights: &[f32], out: &mut [f32]) {
    let dim = out.len();
    let values = || values.chunks_exact(dim).zip(weights);
    let (chunks, rest) = out.as_chunks_mut::<HELD>();
    for (index, chunk) in chunks.iter_mut().enumerate() {
        let mut sums = *chunk;
        for (value, weight) in values() {
            let value = &value[index * HELD..][..HELD];
            for lane in 0..HELD {
                sums[lane] = weight.mul_add(value[lane], sums[lane]);
            }
        }
        *chunk = sums;
    }
    for (value, weight) in values() {
        for (out, value) in rest.iter_mut().zip(&value[dim / HELD * HELD..]) {
            *out = weight.mul_add(*value, *out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_folding_give_the_same_bits() {
        let number = |index: usize| ((index * 2_654_435_761) % 10_007) as f32 / 97.0 - 50.0;
        let lanes = std::array::from_fn(|row| std::array::from_fn(|lane| number(row * 16 + lane)));
        let bits = |sums: [f32; LANES]| sums.map(f32::to_bits);
        let plain = bits(Folding::Plain.sums(&lanes));
        assert_eq!(plain, bits(lanes.map(|lanes| sum(&lanes))));
        assert_eq!(plain, bits(Folding::here().sums(&lanes)));
    }
}
