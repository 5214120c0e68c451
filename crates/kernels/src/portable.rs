//! Tile products in plain Rust, for processors without AVX-512 VNNI and as the definition that the vector kernels are tested
//! against: the same operations in the same order for every column, hence the same bits.

use crate::activations::Row;
use crate::tiles::{BLOCK, COLUMNS, SUPER, SixBits, TileQ4K, TileQ6K, TileQ41, TileQ80};

/// Sums of one row, a tile's columns wide.
type Sums = [f32; COLUMNS];

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
pub(crate) fn q4k(tiles: &[TileQ4K], row: Row) -> Sums {
    let mut totals = [0f32; COLUMNS];
    for (block, tile) in tiles.iter().enumerate() {
        let (mut products, mut offsets) = ([0f32; COLUMNS], [0f32; COLUMNS]);
        for sub in 0..8 {
            let at = block * (SUPER / BLOCK) + sub;
            let sums = nibble_sums(&tile.quants[sub], row.words(at));
            let row_sum = row.sums(at).whole;
            for c in 0..COLUMNS {
                let (scale, min) = (tile.scales[sub][c], tile.mins[sub / 2][2 * c + sub % 2]);
                products[c] = (sums[c] as f32).mul_add(f32::from(scale), products[c]);
                offsets[c] = f32::from(min).mul_add(row_sum, offsets[c]);
            }
        }
        let scale = row.scale(block);
        for c in 0..COLUMNS {
            let (d, dmin) = (tile.d[c].to_f32() * scale, tile.dmin[c].to_f32() * scale);
            totals[c] = products[c].mul_add(d, totals[c]);
            totals[c] = (-offsets[c]).mul_add(dmin, totals[c]);
        }
    }
    totals
}

#[inline(always)]
pub(crate) fn q6k(tiles: &[TileQ6K], row: Row) -> Sums {
    let mut totals = [0f32; COLUMNS];
    for (block, tile) in tiles.iter().enumerate() {
        let mut products = [0f32; COLUMNS];
        for sub in 0..16 {
            let (at, half) = (block * (SUPER / BLOCK) + sub / 2, sub % 2);
            let SixBits { low, high } = &tile.quants[sub];
            let mut sums = [row.sums(at).halves_by_32[half]; COLUMNS];
            for group in 0..4 {
                let value = |i: usize| {
                    let nibble = (low[(group % 2) * 64 + i] >> ((group / 2) * 4)) & 15;
                    nibble | (((high[i] >> (group * 2)) & 3) << 4)
                };
                dot4(&mut sums, value, row.words(at)[half * 4 + group]);
            }
            for c in 0..COLUMNS {
                products[c] = (sums[c] as f32).mul_add(f32::from(tile.scales[sub][c]), products[c]);
            }
        }
        for c in 0..COLUMNS {
            totals[c] = products[c].mul_add(tile.d[c].to_f32() * row.scale(block), totals[c]);
        }
    }
    totals
}

#[inline(always)]
pub(crate) fn q41(tiles: &[TileQ41], row: Row) -> Sums {
    let mut totals = [0f32; COLUMNS];
    for (block, tile) in tiles.iter().enumerate() {
        let sums = nibble_sums(&tile.quants, row.words(block));
        let scale = row.scale(block);
        let row_sum = scale * row.sums(block).whole;
        for c in 0..COLUMNS {
            totals[c] = (sums[c] as f32).mul_add(tile.d[c].to_f32() * scale, totals[c]);
            totals[c] = tile.m[c].to_f32().mul_add(row_sum, totals[c]);
        }
    }
    totals
}

#[inline(always)]
pub(crate) fn q80(tiles: &[TileQ80], row: Row) -> Sums {
    let mut totals = [0f32; COLUMNS];
    for (block, tile) in tiles.iter().enumerate() {
        let mut sums = [row.sums(block).by_128; COLUMNS];
        for (group, bytes) in tile.quants.as_chunks::<64>().0.iter().enumerate() {
            dot4(&mut sums, |i| bytes[i], row.words(block)[group]);
        }
        let scale = row.scale(block);
        for c in 0..COLUMNS {
            totals[c] = (sums[c] as f32).mul_add(tile.d[c].to_f32() * scale, totals[c]);
        }
    }
    totals
}
