//! Attention of a block of query rows over one session's cache.
//!
//! Each (row, head) is computed by itself, keys in order of position, so a row's output does not depend on the block it
//! came in. Causality and the sliding window are loop bounds: no mask is ever built.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, WithDType, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::exponential::exp;

/// Softmax attention: queries `(rows, heads, dim)`, keys and values `(positions, kv_heads, dim)`, contiguous `f32`.
/// The last query row sits at the last position.
pub(crate) struct Attention {
    /// What scores are multiplied by.
    pub(crate) scale: f32,
    /// How many positions a row sees, itself included; none means all.
    pub(crate) window: Option<usize>,
}

impl CustomOp3 for Attention {
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
        let tasks = out.par_chunks_mut(dim).zip(queries.par_chunks(dim)).enumerate();
        tasks.for_each_init(Vec::new, |scores, (task, (out, query))| {
            let (row, head) = (task / heads, task % heads);
            let end = positions - rows + row + 1;
            let start = self.window.map_or(0, |window| end.saturating_sub(window));
            let offset = head / (heads / kv_heads) * dim;
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    cache.attend(query, out, &mut Span { start, end, offset, scores }, self.scale);
                },
            );
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

/// The positions that one row and head looks at, and room for their scores.
struct Span<'a> {
    start: usize,
    end: usize,
    offset: usize,
    scores: &'a mut Vec<f32>,
}

impl Cache<'_> {
    #[inline(always)]
    fn attend(&self, query: &[f32], out: &mut [f32], span: &mut Span, scale: f32) {
        let at = |position: usize| {
            let at = position * self.stride + span.offset;
            at..at + self.dim
        };
        let scores = &mut *span.scores;
        scores.clear();
        scores.extend(
            (span.start..span.end).map(|position| dot(query, &self.keys[at(position)]) * scale),
        );
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for score in scores.iter_mut() {
            *score = exp(*score - largest);
        }
        let total: f32 = scores.iter().sum();
        for (position, weight) in (span.start..span.end).zip(scores.iter()) {
            for (out, value) in out.iter_mut().zip(&self.values[at(position)]) {
                *out = weight.mul_add(*value, *out);
            }
        }
        let inverse = 1.0 / total;
        out.iter_mut().for_each(|out| *out *= inverse);
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
    a_rest.iter().zip(b_rest).fold(sums[0], |sum, (a, b)| a.mul_add(*b, sum))
}
