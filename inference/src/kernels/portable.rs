//! Tile products in plain Rust, for processors without AVX-512 VNNI and as the definition that the vector kernels are tested
//! against: the same operations in the same order for every column, hence the same bits.

use std::array::from_fn;

use super::activations::{Activations, SUM};
use super::tiles::{BLOCK, COLUMNS, SUPER, TileQ4K, TileQ6K, TileQ41, TileQ80};

/// Sums of one row, a tile's columns wide.
type Sums = [f32; COLUMNS];

/// One row of quantised activations.
struct Row<'a> {
    words: &'a [[i32; 8]],
    scales: &'a [f32],
    sums: &'a [[i32; 2]],
}

impl<'a> Row<'a> {
    fn new(acts: &'a Activations, row: usize, group: usize) -> Self {
        let k = acts.k;
        Self {
            words: acts.words[row * (k / 4)..][..k / 4].as_chunks().0,
            scales: &acts.scales[row * (k / group)..][..k / group],
            sums: acts.sums[row * (k / SUM)..][..k / SUM].as_chunks().0,
        }
    }

    /// The sum of the 32 quants of a block.
    fn sum(&self, block: usize) -> i32 {
        self.sums[block][0] + self.sums[block][1]
    }
}

/// Adds four inputs of each column: `bytes` are `[column][4]`.
#[inline(always)]
fn dot4(sums: &mut [i32; COLUMNS], bytes: impl Fn(usize) -> u8, word: i32) {
    let quants = word.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
    for (column, sum) in sums.iter_mut().enumerate() {
        for (j, quant) in quants.iter().enumerate() {
            *sum += i32::from(bytes(column * 4 + j)) * quant;
        }
    }
}

#[inline(always)]
fn nibble_sums(quants: &[u8; 256], words: &[i32; 8]) -> [i32; COLUMNS] {
    let mut sums = [0; COLUMNS];
    for (group, bytes) in quants.as_chunks::<64>().0.iter().enumerate() {
        dot4(&mut sums, |i| bytes[i] & 15, words[group]);
        dot4(&mut sums, |i| bytes[i] >> 4, words[group + 4]);
    }
    sums
}

#[inline(always)]
pub(crate) fn q4k(tiles: &[TileQ4K], acts: &Activations, row: usize) -> Sums {
    let row = Row::new(acts, row, SUPER);
    let mut totals = [0f32; COLUMNS];
    for (block, tile) in tiles.iter().enumerate() {
        let (mut products, mut offsets) = ([0f32; COLUMNS], [0f32; COLUMNS]);
        for sub in 0..8 {
            let at = block * (SUPER / BLOCK) + sub;
            let sums = nibble_sums(&tile.quants[sub], &row.words[at]);
            let sum = row.sum(at) as f32;
            for c in 0..COLUMNS {
                let (scale, min) = (tile.scales[sub][c], tile.mins[sub][c]);
                products[c] = (sums[c] as f32).mul_add(f32::from(scale), products[c]);
                offsets[c] = f32::from(min).mul_add(sum, offsets[c]);
            }
        }
        let scale = row.scales[block];
        for c in 0..COLUMNS {
            let (d, dmin) = (tile.d[c].to_f32() * scale, tile.dmin[c].to_f32() * scale);
            totals[c] = products[c].mul_add(d, totals[c]);
            totals[c] = (-offsets[c]).mul_add(dmin, totals[c]);
        }
    }
    totals
}

#[inline(always)]
pub(crate) fn q6k(tiles: &[TileQ6K], acts: &Activations, row: usize) -> Sums {
    let row = Row::new(acts, row, SUPER);
    let mut totals = [0f32; COLUMNS];
    for (block, tile) in tiles.iter().enumerate() {
        let mut products = [0f32; COLUMNS];
        for sub in 0..16 {
            let (at, half) = (block * (SUPER / BLOCK) + sub / 2, sub % 2);
            let (low, high) = (&tile.low[sub], &tile.high[sub]);
            let mut sums = [-32 * row.sums[at][half]; COLUMNS];
            for group in 0..4 {
                let value = |i: usize| {
                    let nibble = (low[(group % 2) * 64 + i] >> ((group / 2) * 4)) & 15;
                    nibble | (((high[i] >> (group * 2)) & 3) << 4)
                };
                dot4(&mut sums, value, row.words[at][half * 4 + group]);
            }
            for c in 0..COLUMNS {
                let scale = f32::from(tile.scales[sub][c]);
                products[c] = (sums[c] as f32).mul_add(scale, products[c]);
            }
        }
        for c in 0..COLUMNS {
            totals[c] = products[c].mul_add(tile.d[c].to_f32() * row.scales[block], totals[c]);
        }
    }
    totals
}

#[inline(always)]
pub(crate) fn q41(tiles: &[TileQ41], acts: &Activations, row: usize) -> Sums {
    let row = Row::new(acts, row, BLOCK);
    let mut totals = [0f32; COLUMNS];
    for (block, tile) in tiles.iter().enumerate() {
        let sums = nibble_sums(&tile.quants, &row.words[block]);
        let scale = row.scales[block];
        let offset = scale * row.sum(block) as f32;
        for c in 0..COLUMNS {
            totals[c] = (sums[c] as f32).mul_add(tile.d[c].to_f32() * scale, totals[c]);
            totals[c] = tile.m[c].to_f32().mul_add(offset, totals[c]);
        }
    }
    totals
}

#[inline(always)]
pub(crate) fn q80(tiles: &[TileQ80], acts: &Activations, row: usize) -> Sums {
    let row = Row::new(acts, row, BLOCK);
    let mut totals = [0f32; COLUMNS];
    for (block, tile) in tiles.iter().enumerate() {
        let mut sums = [-128 * row.sum(block); COLUMNS];
        for (group, bytes) in tile.quants.as_chunks::<64>().0.iter().enumerate() {
            dot4(&mut sums, |i| bytes[i], row.words[block][group]);
        }
        let d: [f32; COLUMNS] = from_fn(|c| tile.d[c].to_f32() * row.scales[block]);
        for c in 0..COLUMNS {
            totals[c] = (sums[c] as f32).mul_add(d[c], totals[c]);
        }
    }
    totals
}
