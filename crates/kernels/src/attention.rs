//! Attention of a block of query rows over one session's cache.
//!
//! The operations of each (row, head) and their order depend on its own keys alone, in order of position, so a row's output does
//! not depend on the block it came in; what heads and rows share is only who reads a key from memory. Causality and the sliding
//! window are loop bounds: no mask is ever built. In a tree the last keys of a row are those of its path, so that they are added
//! up in the order in which the same tokens would be, had they come one after another.

mod tile;

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, WithDType, bail};
use pulp::Arch;
use rayon::prelude::*;

use self::tile::{Folding, Query, Tile};
use crate::tree::Tree;

/// Most queries that one task serves: as many scores as it has queries lie in memory for each key.
const QUERIES: usize = 16;

/// Softmax attention: queries `(rows, heads, dim)`, keys and values `(kv_heads, positions, dim)`, the heads
/// perhaps apart, `f32`.
/// The last query row sits at the last position, but for those of a tree.
pub struct Attention<'a> {
    /// What scores are multiplied by.
    pub scale: f32,
    /// How many positions a row sees, itself included; none means all.
    pub window: Option<usize>,
    /// What the rows follow of each other, and of the last of the other positions; none means each the one before.
    pub tree: Option<&'a Tree>,
}

impl Attention<'_> {
    /// The positions that all rows may see, of `positions` with those of the rows themselves.
    pub fn shared(&self, positions: usize, rows: usize) -> usize {
        positions - rows - self.tree.map_or(0, Tree::held)
    }

    /// The keys that a row sees, of `shared` that all rows may and those behind them: a run, and those of the row's path behind it.
    pub fn seen(&self, row: usize, shared: usize) -> (Range<usize>, &[u32]) {
        let first = |end: usize| self.window.map_or(0, |window| end.saturating_sub(window));
        match self.tree {
            None => {
                let end = shared + row + 1;
                (first(end)..end, &[])
            }
            Some(tree) => {
                let path = tree.path(row);
                let start = first(shared + path.len());
                let behind = &path[start.saturating_sub(shared)..];
                (start.min(shared)..shared, behind)
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
        let (kv_heads, positions, key_dim) = key_layout.shape().dims3()?;
        let behind = rows + self.tree.map_or(0, Tree::held);
        if key_dim != dim || heads % kv_heads != 0 || positions < behind {
            bail!("attention: queries {query_layout:?} do not fit keys {key_layout:?}");
        }
        let (keys, values) = (by_head(keys, key_layout)?, by_head(values, value_layout)?);
        let heads = Heads {
            all: heads,
            group: heads / kv_heads,
            queries: contiguous(queries, query_layout)?,
        };
        let common = self.shared(positions, rows);
        let folding = Folding::here();
        // The queries of one head of keys, row by row, a share of them to each task.
        let shares = rayon::current_num_threads().div_ceil(kv_heads);
        let share = (rows * heads.group).div_ceil(shares).min(QUERIES);
        let tasks = (rows * heads.group).div_ceil(share);
        let attended: Vec<Vec<f32>> = (0..kv_heads * tasks)
            .into_par_iter()
            .map_init(Vec::new, |scores, task| {
                let (kv_head, first) = (task / tasks, task % tasks * share);
                let last = (first + share).min(rows * heads.group);
                let query = |index: usize| {
                    let (keys, behind) = self.seen(index / heads.group, common);
                    Query {
                        vector: heads.query(kv_head, index, dim),
                        keys,
                        behind,
                    }
                };
                let queries: Vec<Query> = (first..last).map(query).collect();
                let mut out = vec![0f32; queries.len() * dim];
                Arch::new().dispatch(Tile {
                    keys: keys.of(kv_head),
                    values: values.of(kv_head),
                    dim,
                    shared: common,
                    queries: &queries,
                    scale: self.scale,
                    folding,
                    scores,
                    out: &mut out,
                });
                out
            })
            .collect();
        let mut out = vec![0f32; rows * heads.all * dim];
        for (task, attended) in attended.iter().enumerate() {
            let (kv_head, first) = (task / tasks, task % tasks * share);
            for (index, vector) in (first..).zip(attended.chunks_exact(dim)) {
                out[heads.place(kv_head, index) * dim..][..dim].copy_from_slice(vector);
            }
        }
        Ok((f32::to_cpu_storage_owned(out), query_layout.shape().clone()))
    }
}

/// Queries by the head of keys that they look at.
struct Heads<'a> {
    all: usize,
    /// Heads that share a head of keys.
    group: usize,
    queries: &'a [f32],
}

impl Heads<'_> {
    /// Where among all rows' heads the `index`-th query of a head of keys lies.
    fn place(&self, kv_head: usize, index: usize) -> usize {
        index / self.group * self.all + kv_head * self.group + index % self.group
    }

    fn query(&self, kv_head: usize, index: usize, dim: usize) -> &[f32] {
        &self.queries[self.place(kv_head, index) * dim..][..dim]
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("attention: inputs must be contiguous"),
    }
}

/// Keys or values, those of a head one after another.
struct ByHead<'a> {
    all: &'a [f32],
    /// From one head to the next.
    stride: usize,
    /// Numbers of a head.
    count: usize,
}

impl<'a> ByHead<'a> {
    fn of(&self, head: usize) -> &'a [f32] {
        &self.all[head * self.stride..][..self.count]
    }
}

fn by_head<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<ByHead<'a>> {
    let (_, positions, dim) = layout.shape().dims3()?;
    match *layout.stride() {
        [stride, between, 1] if between == dim => Ok(ByHead {
            all: &storage.as_slice::<f32>()?[layout.start_offset()..],
            stride,
            count: positions * dim,
        }),
        _ => bail!("attention: {layout:?} has a head's positions apart"),
    }
}
