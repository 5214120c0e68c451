//! Attention of a block of query rows over one session's cache.
//!
//! Each (row, head) is computed by itself, keys in order of position, so a row's output does not depend on the block it
//! came in. Causality and the sliding window are loop bounds: no mask is ever built. In a tree the last keys of a row are those of
//! its path, so that they are added up in the order in which the same tokens would be, had they come one after another.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, WithDType, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::exponential::exp;
use crate::tree::Tree;

/// Softmax attention: queries `(rows, heads, dim)`, keys and values `(positions, kv_heads, dim)`, contiguous `f32`.
/// The last query row sits at the last position, but for those of a tree.
pub(crate) struct Attention<'a> {
    /// What scores are multiplied by.
    pub(crate) scale: f32,
    /// How many positions a row sees, itself included; none means all.
    pub(crate) window: Option<usize>,
    /// What the rows follow of each other; none means each the one before.
    pub(crate) tree: Option<&'a Tree>,
}

impl Attention<'_> {
    /// The keys that a row sees, of `held` ahead of all rows and one of each row: a run of them, and those that follow it.
    pub(crate) fn seen(&self, row: usize, held: usize) -> (Range<usize>, &[u32]) {
        let first = |end: usize| self.window.map_or(0, |window| end.saturating_sub(window));
        match self.tree {
            None => {
                let end = held + row + 1;
                (first(end)..end, &[])
            }
            Some(tree) => {
                let path = tree.path(row);
                let start = first(held + path.len());
                (start.min(held)..held, &path[start.saturating_sub(held)..])
            }
        }
    }
}

impl CustomOp3 for Attention<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        query_layout: &Layout,
        keys: &CpuStorage,
        key_layout: &Layout,
        values: &CpuStorage,
        value_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, heads, dim) = query_layout.shape().dims3()?;
        let (positions, kv_heads, key_dim) = key_layout.shape().dims3()?;
        if key_dim != dim || heads % kv_heads != 0 || positions < rows {
            bail!("attention: queries {query_layout:?} do not fit keys {key_layout:?}");
        }
        let queries = contiguous(queries, query_layout)?;
        let cache = Cache {
            keys: contiguous(keys, key_layout)?,
            values: contiguous(values, value_layout)?,
            stride: kv_heads * dim,
            dim,
        };
        let mut out = vec![0f32; rows * heads * dim];
        let tasks = out
            .par_chunks_mut(dim)
            .zip(queries.par_chunks(dim))
            .enumerate();
        tasks.for_each_init(Vec::new, |scores, (task, (out, query))| {
            let (row, head) = (task / heads, task % heads);
            let held = positions - rows;
            let (run, behind) = self.seen(row, held);
            let span = Span {
                run,
                behind,
                held,
                offset: head / (heads / kv_heads) * dim,
                scores,
            };
            Arch::new().dispatch(Attend {
                cache: &cache,
                query,
                out,
                span,
                scale: self.scale,
            });
        });
        Ok((f32::to_cpu_storage_owned(out), query_layout.shape().clone()))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("attention: inputs must be contiguous"),
    }
}

struct Cache<'a> {
    keys: &'a [f32],
    values: &'a [f32],
    stride: usize,
    dim: usize,
}

/// What one row and head looks at, and room for its scores.
struct Span<'a> {
    /// Keys one after another.
    run: Range<usize>,
    /// Rows whose keys follow those, the first row's being number `held`.
    behind: &'a [u32],
    held: usize,
    offset: usize,
    scores: &'a mut Vec<f32>,
}

/// One row and head.
struct Attend<'a> {
    cache: &'a Cache<'a>,
    query: &'a [f32],
    out: &'a mut [f32],
    span: Span<'a>,
    scale: f32,
}

impl WithSimd for Attend<'_> {
    type Output = ();

    /// Plain loops: an adaptor that is not inlined here would be compiled without the dispatched instructions.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            cache,
            query,
            out,
            span:
                Span {
                    run,
                    behind,
                    held,
                    offset,
                    scores,
                },
            scale,
        } = self;
        let first = run.start * cache.stride + offset;
        let (ahead, all) = (run.len(), run.len() + behind.len());
        scores.clear();
        scores.resize(all, 0.0);
        let mut largest = f32::NEG_INFINITY;
        let mut at = first;
        for score in &mut scores[..ahead] {
            *score = dot(query, &cache.keys[at..at + cache.dim]) * scale;
            largest = if *score > largest { *score } else { largest };
            at += cache.stride;
        }
        for (score, row) in scores[ahead..].iter_mut().zip(behind) {
            let at = (held + *row as usize) * cache.stride + offset;
            *score = dot(query, &cache.keys[at..at + cache.dim]) * scale;
            largest = if *score > largest { *score } else { largest };
        }
        for score in scores.iter_mut() {
            *score = exp(*score - largest);
        }
        let mut total = 0f32;
        let mut at = first;
        for weight in &scores[..ahead] {
            total += weight;
            for (out, value) in out.iter_mut().zip(&cache.values[at..at + cache.dim]) {
                *out = weight.mul_add(*value, *out);
            }
            at += cache.stride;
        }
        for (weight, row) in scores[ahead..].iter().zip(behind) {
            let at = (held + *row as usize) * cache.stride + offset;
            total += weight;
            for (out, value) in out.iter_mut().zip(&cache.values[at..at + cache.dim]) {
                *out = weight.mul_add(*value, *out);
            }
        }
        let inverse = 1.0 / total;
        for out in out.iter_mut() {
            *out *= inverse;
        }
    }
}

/// Sixteen running sums, so that the order of additions is the same for every instruction set.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let mut sums = [0f32; 16];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..16 {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    for width in [8, 4, 2, 1] {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    let mut sum = sums[0];
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum = a.mul_add(*b, sum);
    }
    sum
}
