//! Packing of a checkpoint's bytes into tiles, and the conversions on the way.

use std::borrow::Cow;

use bytemuck::Pod;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, WithDType};
use half::{bf16, f16};

use crate::matrix::{Matrix, QuantisedRows, Tiles};
use crate::pages::Pages;
use crate::tiles::{
    BLOCK, COLUMNS, Q4K_BYTES, Q6K_BYTES, Q40_BYTES, Q41_BYTES, Q50_BYTES, Q80_BYTES, SUPER,
    TileQ4K, TileQ6K, TileQ41, TileQ80,
};

/// A matrix that cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum WeightFormatError {
    /// The inputs do not divide into the format's blocks.
    #[error("{inputs} inputs do not divide into blocks of {block}")]
    Inputs {
        /// Columns of the matrix.
        inputs: usize,
        /// Weights of a block.
        block: usize,
    },
    /// The bytes do not match shape and format.
    #[error("{found} bytes where {expected} were expected")]
    Bytes {
        /// Bytes given.
        found: usize,
        /// Bytes that shape and format imply.
        expected: usize,
    },
    /// There is no memory for it.
    #[error("there is no memory for the weights")]
    Memory(#[from] std::io::Error),
    /// candle could not dequantise it.
    #[error("the format cannot be read")]
    Candle(#[from] candle_core::Error),
}

/// Effect of packing on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// None: rearranged only, every number is the file's.
    None,
    /// Move to another format that holds the same numbers.
    Exact {
        /// Name of that format.
        to: &'static str,
    },
    /// Quantisation to eight bits.
    Rounded,
}

impl Conversion {
    /// Effect of packing on weights of this format.
    pub fn of(format: GgmlDType) -> Self {
        match format {
            GgmlDType::Q4_0 => Self::Exact { to: "Q4_1" },
            GgmlDType::Q5_0 => Self::Exact { to: "Q8_0" },
            GgmlDType::Q4_1
            | GgmlDType::Q8_0
            | GgmlDType::Q4K
            | GgmlDType::Q6K
            | GgmlDType::F32
            | GgmlDType::F16
            | GgmlDType::BF16 => Self::None,
            _ => Self::Rounded,
        }
    }
}

impl Matrix {
    /// Packs `bytes`, `(n, k)` weights in `format`, row by row as in the file.
    pub fn pack(
        bytes: &[u8],
        format: GgmlDType,
        (n, k): (usize, usize),
    ) -> Result<Self, WeightFormatError> {
        if format.block_size() > k || !k.is_multiple_of(format.block_size()) {
            return Err(WeightFormatError::Inputs {
                inputs: k,
                block: format.block_size(),
            });
        }
        let expected = n * k / format.block_size() * format.type_size();
        if bytes.len() != expected {
            return Err(WeightFormatError::Bytes {
                found: bytes.len(),
                expected,
            });
        }
        let blocks = |size: usize, inputs: usize| Blocks {
            bytes,
            size,
            per_row: k / inputs,
        };
        let tiles = match format {
            GgmlDType::Q4K => {
                Tiles::Q4K(blocks(Q4K_BYTES, SUPER).tiles(n, &TileQ4K::ZERO, TileQ4K::place)?)
            }
            GgmlDType::Q6K => {
                Tiles::Q6K(blocks(Q6K_BYTES, SUPER).tiles(n, &TileQ6K::ZERO, TileQ6K::place)?)
            }
            GgmlDType::Q4_1 => {
                Tiles::Q41(blocks(Q41_BYTES, BLOCK).tiles(n, &TileQ41::ZERO, TileQ41::place)?)
            }
            GgmlDType::Q4_0 => {
                Tiles::Q41(blocks(Q40_BYTES, BLOCK).tiles(n, &TileQ41::ZERO, TileQ41::place_q40)?)
            }
            GgmlDType::Q8_0 => {
                Tiles::Q80(blocks(Q80_BYTES, BLOCK).tiles(n, &TileQ80::ZERO, TileQ80::place)?)
            }
            GgmlDType::Q5_0 => {
                Tiles::Q80(blocks(Q50_BYTES, BLOCK).tiles(n, &TileQ80::ZERO, TileQ80::place_q50)?)
            }
            GgmlDType::F32 => {
                Tiles::F32(interleave((n, k), |i| f32::from_le_bytes(four(bytes, i)))?)
            }
            GgmlDType::F16 => {
                Tiles::F16(interleave((n, k), |i| f16::from_le_bytes(two(bytes, i)))?)
            }
            GgmlDType::BF16 => {
                Tiles::Bf16(interleave((n, k), |i| bf16::from_le_bytes(two(bytes, i)))?)
            }
            _ => Tiles::Q80(round_to_q80(bytes, format, (n, k))?),
        };
        Ok(Self { n, k, tiles })
    }
}

/// The blocks of a quantised matrix.
struct Blocks<'a> {
    bytes: &'a [u8],
    size: usize,
    per_row: usize,
}

impl Blocks<'_> {
    fn tiles<T: Pod>(
        &self,
        n: usize,
        zero: &T,
        place: fn(&mut T, usize, &[u8]),
    ) -> std::io::Result<Pages<T>> {
        let mut tiles = Pages::filled(n.div_ceil(COLUMNS) * self.per_row, *zero)?;
        self.place_in(&mut tiles, place);
        Ok(tiles)
    }

    /// `tiles` begin with the first row of the blocks.
    fn place_in<T>(&self, tiles: &mut [T], place: fn(&mut T, usize, &[u8])) {
        for (row, blocks) in self
            .bytes
            .chunks_exact(self.size * self.per_row)
            .enumerate()
        {
            let tiles = &mut tiles[row / COLUMNS * self.per_row..][..self.per_row];
            for (tile, block) in tiles.iter_mut().zip(blocks.chunks_exact(self.size)) {
                place(tile, row % COLUMNS, block);
            }
        }
    }
}

fn two(bytes: &[u8], i: usize) -> [u8; 2] {
    [bytes[2 * i], bytes[2 * i + 1]]
}

fn four(bytes: &[u8], i: usize) -> [u8; 4] {
    [
        bytes[4 * i],
        bytes[4 * i + 1],
        bytes[4 * i + 2],
        bytes[4 * i + 3],
    ]
}

fn interleave<W: crate::float::Weight>(
    (n, k): (usize, usize),
    weight: impl Fn(usize) -> W,
) -> std::io::Result<Pages<W>> {
    let mut tiles = Pages::filled(n.next_multiple_of(COLUMNS) * k, W::ZERO)?;
    for row in 0..n {
        let tile = &mut tiles[row / COLUMNS * COLUMNS * k..][..COLUMNS * k];
        for i in 0..k {
            tile[i * COLUMNS + row % COLUMNS] = weight(row * k + i);
        }
    }
    Ok(tiles)
}

/// Rows that are requantised at a time.
const ROUNDED_ROWS: usize = 256;

/// Quantises weights of a format without a kernel anew, to eight bits.
fn round_to_q80(
    bytes: &[u8],
    format: GgmlDType,
    (n, k): (usize, usize),
) -> Result<Pages<TileQ80>, WeightFormatError> {
    if !k.is_multiple_of(BLOCK) {
        return Err(WeightFormatError::Inputs {
            inputs: k,
            block: BLOCK,
        });
    }
    let row_bytes = k / format.block_size() * format.type_size();
    let mut tiles = Pages::filled(n.div_ceil(COLUMNS) * (k / BLOCK), TileQ80::ZERO)?;
    let parts = tiles.chunks_mut(ROUNDED_ROWS / COLUMNS * (k / BLOCK));
    for (tiles, rows) in parts.zip(bytes.chunks(row_bytes * ROUNDED_ROWS)) {
        let n = rows.len() / row_bytes;
        let storage = QStorage::from_data(Cow::Borrowed(rows), &Device::Cpu, format)?;
        let floats = QTensor::new(storage, (n, k))?.dequantize(&Device::Cpu)?;
        let rounded = QTensor::quantize(&floats, GgmlDType::Q8_0)?;
        let bytes = rounded.data()?;
        let blocks = Blocks {
            bytes: &bytes,
            size: Q80_BYTES,
            per_row: k / BLOCK,
        };
        blocks.place_in(tiles, TileQ80::place);
    }
    Ok(tiles)
}

/// The product with a matrix, as an operation of candle's.
pub struct MatrixProduct<'a>(pub &'a Matrix, pub &'a QuantisedRows);

impl CustomOp1 for MatrixProduct<'_> {
    fn name(&self) -> &'static str {
        "matrix"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (rows, k) = layout.shape().dims2()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("matrix: activations must be contiguous");
        };
        let Self(matrix, shared) = self;
        if k != matrix.k {
            candle_core::bail!(
                "matrix: activations have {k} columns, the weights {}",
                matrix.k
            );
        }
        let out = matrix.multiply(&storage.as_slice::<f32>()?[start..end], shared);
        Ok((
            f32::to_cpu_storage_owned(out),
            Shape::from((rows, matrix.n)),
        ))
    }
}
