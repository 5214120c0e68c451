//! The arithmetic of attention: some queries over one head of keys and values.
//!
//! Plain loops over arrays of sixteen, which the compiler makes vector code of wherever it is dispatched to; the order of
//! additions is written out by them and the same for every instruction set.

use std::hint::black_box;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::exponential::exp;

/// Numbers that are added up side by side.
const LANES: usize = 16;
/// Keys, then values, that are read for all queries before the next ones: they stay in the nearest cache.
const KEYS: usize = 32;
/// Numbers of a result that are held in registers while values are added.
const HELD: usize = 4 * LANES;

/// One row's head.
pub(super) struct Query<'a> {
    pub(super) vector: &'a [f32],
    /// Positions that it sees, one after another.
    pub(super) keys: Range<usize>,
    /// Positions that it sees behind those that all rows may see.
    pub(super) behind: &'a [u32],
}

impl Query<'_> {
    fn seen(&self) -> usize {
        self.keys.len() + self.behind.len()
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
                score(&keys[part.start * dim..], query.vector, scores);
            }
            block += KEYS;
        }
        for (query, scores) in queries.iter().zip(scores.chunks_exact_mut(width)) {
            let behind = &mut scores[query.keys.len()..query.seen()];
            for (slot, row) in behind.iter_mut().zip(query.behind) {
                let at = (shared + *row as usize) * dim;
                score(&keys[at..], query.vector, std::slice::from_mut(slot));
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
            for (weight, row) in weights.iter().zip(query.behind) {
                let at = (shared + *row as usize) * dim;
                add(&values[at..], std::slice::from_ref(weight), out);
            }
        }
    }
}

/// What is in both; empty and within the first if nothing is.
#[inline(always)]
fn both(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    let start = one.start.max(other.start).min(one.end);
    start..one.end.min(other.end).max(start)
}

/// Products of a query with as many keys as there are scores, `(keys, dim)`.
#[inline(always)]
fn score(keys: &[f32], query: &[f32], scores: &mut [f32]) {
    let (chunks, rest) = query.as_chunks::<LANES>();
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
        let (key, key_rest) = key.as_chunks::<LANES>();
        let mut sums = [0f32; LANES];
        for (query, key) in chunks.iter().zip(key) {
            for lane in 0..LANES {
                sums[lane] = query[lane].mul_add(key[lane], sums[lane]);
            }
        }
        // Through memory: in one piece with the sum over them, the compiler tears the sixteen sums into shapes that suit only
        // that, and takes ten times as long.
        *score = sum(&black_box(sums));
        for (query, key) in rest.iter().zip(key_rest) {
            *score = query.mul_add(*key, *score);
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
