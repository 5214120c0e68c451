//! Attention of a block of query rows over one session's cache.
//!
//! The operations of each (row, head) and their order depend on its own keys alone, in order of position, so a row's output does
//! not depend on the block it came in; heads and rows share only the reading of a key from memory. Causality and the sliding
//! window are loop bounds: no mask is ever built. In tree attention the last keys of a row are those of its path, added up in
//! the order that the same tokens would have as a chain.

mod tile;

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, WithDType, bail};
use pulp::Arch;
use rayon::prelude::*;

use self::tile::{Folding, Query, Tile};
use crate::tree::Tree;

/// Most queries of one task: each key has a score in memory for each of them.
const QUERIES: usize = 16;

/// Softmax attention: queries `(rows, heads, dim)`, keys and values `(kv_heads, positions, dim)`, the heads
/// perhaps apart, `f32`.
/// The last query row has the last position, except in a tree.
pub struct Attention<'a> {
    /// Factor that scores are multiplied by.
    pub scale: f32,
    /// Number of positions that a row sees, itself included; `None`: all.
    pub window: Option<usize>,
    /// Tree attention: the path of each row among the rows and the last positions before them; `None`: a chain.
    pub tree: Option<&'a Tree>,
}

impl Attention<'_> {
    /// Number of positions that all rows may see. `positions` counts the rows' own too.
    pub fn shared(&self, positions: usize, rows: usize) -> usize {
        positions - rows - self.tree.map_or(0, Tree::held)
    }

    /// Keys that a row sees: a run of the `shared` ones that all rows may see, and then those on the row's path.
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
                let on_path = &path[start.saturating_sub(shared)..];
                (start.min(shared)..shared, on_path)
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
        let unshared = rows + self.tree.map_or(0, Tree::held);
        if key_dim != dim || heads % kv_heads != 0 || positions < unshared {
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
                    let (keys, path) = self.seen(index / heads.group, common);
                    Query {
                        vector: heads.query(kv_head, index, dim),
                        keys,
                        path,
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
    /// Place of the `index`-th query of a head of keys among all rows' heads.
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
