//! KV cache of one session, addressed by position, so that forgetting a suffix is a change of length.
//!
//! Layers with a sliding window keep every position too: a ring could not be truncated past its window, and the window of the
//! models at hand saves less memory than their vocabulary costs.

use candle_core::{DType, Device, Result, Tensor};

use crate::checkpoint::Architecture;

/// Positions that a new cache has room for; it doubles when full.
const INITIAL_POSITIONS: usize = 256;

/// The keys and values of all layers.
pub(crate) struct Cache {
    layers: Vec<Option<Layer>>,
    len: usize,
}

/// `(kv_heads, capacity, head_dim)` each: a head's positions lie one after another, as it reads them.
struct Layer {
    keys: Tensor,
    values: Tensor,
}

/// The keys and values of some positions, apart from any cache.
pub(crate) struct Positions {
    count: usize,
    /// `(kv_heads, count, head_dim)` each.
    layers: Vec<Layer>,
}

impl Cache {
    pub(crate) fn new(architecture: &Architecture) -> Self {
        Self {
            layers: (0..architecture.layers).map(|_| None).collect(),
            len: 0,
        }
    }

    /// Positions held.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let elements = |layer: &Layer| layer.keys.elem_count() + layer.values.elem_count();
        let elements: usize = self.layers.iter().flatten().map(elements).sum();
        (elements * DType::F32.size_in_bytes()) as u64
    }

    /// Forgets the positions from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Forgets the positions from `len` on, except those of `path`, which move up in this order to follow position `len - 1`.
    pub(crate) fn keep_path(&mut self, len: usize, path: &[usize]) -> Result<()> {
        // Rows that already lie where they belong need not move.
        let stays = path
            .iter()
            .zip(len..)
            .take_while(|(at, to)| **at == *to)
            .count();
        let moved: Vec<u32> = path[stays..].iter().map(|at| *at as u32).collect();
        self.truncate(len + stays);
        if moved.is_empty() {
            return Ok(());
        }
        for layer in self.layers.iter().flatten() {
            let moved = Tensor::from_slice(&moved, moved.len(), layer.keys.device())?;
            let (keys, values) = (
                layer.keys.index_select(&moved, 1)?,
                layer.values.index_select(&moved, 1)?,
            );
            layer.keys.slice_set(&keys, 1, self.len)?;
            layer.values.slice_set(&values, 1, self.len)?;
        }
        self.advance(moved.len());
        Ok(())
    }

    /// Writes `(rows, kv_heads, head_dim)` after the positions held and returns keys and values up to and with them,
    /// `(kv_heads, positions, head_dim)`. The length grows only by `advance`, when every layer has been written.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let by_head = |x: &Tensor| x.transpose(0, 1)?.contiguous();
        self.write(layer, &by_head(keys)?, &by_head(values)?)
    }

    /// The same of `(kv_heads, rows, head_dim)`.
    fn write(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let (heads, rows, dim) = keys.dims3()?;
        let end = self.len + rows;
        let slot = &mut self.layers[layer];
        let held = match slot.take() {
            Some(held) if held.keys.dim(1)? >= end => held,
            old => Layer::grown(old, self.len, (heads, end, dim), keys.device())?,
        };
        held.keys.slice_set(keys, 1, self.len)?;
        held.values.slice_set(values, 1, self.len)?;
        let held = slot.insert(held);
        Ok((held.keys.narrow(1, 0, end)?, held.values.narrow(1, 0, end)?))
    }

    /// Memory that the keys and values of one position take, once every layer has some.
    pub(crate) fn position_bytes(&self) -> u64 {
        let of = |x: &Tensor| x.elem_count() / x.dims()[1];
        let elements = |layer: &Layer| of(&layer.keys) + of(&layer.values);
        let elements: usize = self.layers.iter().flatten().map(elements).sum();
        (elements * DType::F32.size_in_bytes()) as u64
    }

    /// A copy of the `count` positions from `start` on, which the cache holds.
    pub(crate) fn copy(&self, start: usize, count: usize) -> Result<Positions> {
        let part = |x: &Tensor| x.narrow(1, start, count)?.force_contiguous();
        let copied = |layer: &Layer| {
            Ok(Layer {
                keys: part(&layer.keys)?,
                values: part(&layer.values)?,
            })
        };
        Ok(Positions {
            count,
            layers: self
                .layers
                .iter()
                .flatten()
                .map(copied)
                .collect::<Result<_>>()?,
        })
    }

    /// Appends positions that were computed before, for the same tokens in the same places.
    pub(crate) fn restore(&mut self, positions: &Positions) -> Result<()> {
        for (layer, Layer { keys, values }) in positions.layers.iter().enumerate() {
            self.write(layer, keys, values)?;
        }
        self.advance(positions.count);
        Ok(())
    }

    pub(crate) fn advance(&mut self, rows: usize) {
        self.len += rows;
    }
}

impl Layer {
    /// Room for `end` positions and as many again, with the first `len` of `old`.
    fn grown(
        old: Option<Self>,
        len: usize,
        (heads, end, dim): (usize, usize, usize),
        device: &Device,
    ) -> Result<Self> {
        let capacity = end.next_power_of_two().max(INITIAL_POSITIONS);
        let zeros = || Tensor::zeros((heads, capacity, dim), DType::F32, device);
        let new = Self {
            keys: zeros()?,
            values: zeros()?,
        };
        if let Some(old) = old.filter(|_| len > 0) {
            new.keys
                .slice_set(&old.keys.narrow(1, 0, len)?.contiguous()?, 1, 0)?;
            new.values
                .slice_set(&old.values.narrow(1, 0, len)?.contiguous()?, 1, 0)?;
        }
        Ok(new)
    }
}
