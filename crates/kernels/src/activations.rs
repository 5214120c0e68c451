//! Activations as signed bytes, in the two schemes that ggml's quantised products use, so that our numbers follow its numbers.
//!
//! Each row is quantised by itself, so a row is the same in every batch.

use pulp::{Arch, Simd, WithSimd};

use crate::tiles::{BLOCK, SUPER};

/// Number of activations that share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// One scale for 256 inputs (against Q4_K and Q6_K).
    Super,
    /// One scale for 32 inputs (against Q4_1 and Q8_0).
    Block,
}

impl Scheme {
    /// Inputs that share a scale.
    pub(crate) const fn group(self) -> usize {
        match self {
            Self::Super => SUPER,
            Self::Block => BLOCK,
        }
    }
}

/// Most rows that one pass of a kernel serves; there are not registers for more.
pub(crate) const ROWS: usize = 12;

/// Sums of the quants of one row over a block of 32 inputs, in the multiples that kernels start their sums from: a product with
/// `q - 32` is the product with `q` less 32 times the sum.
#[derive(Clone, Copy, Default)]
pub(crate) struct BlockSums {
    /// Over its first and its second half, times -32.
    pub(crate) halves_by_32: [i32; 2],
    /// Over all of it, times -128.
    pub(crate) by_128: i32,
    /// Over all of it; a whole number.
    pub(crate) whole: f32,
}

/// Sums over the eight blocks of a super-block, two in a word, the first in the lower half.
pub(crate) type PairSums = [i32; SUPER / BLOCK / 2];

/// Quantised rows, `value = scale * quant`, in groups of up to [`ROWS`].
///
/// Within a group everything is block-major, `(k / 32, rows of the group, ...)`: a kernel that walks the blocks finds those of
/// all its rows at fixed distances from one pointer.
pub(crate) struct Activations {
    /// Four signed bytes a word, the first in the lowest byte; eight words for 32 inputs.
    words: Vec<[i32; 8]>,
    /// One for each group of inputs of the scheme.
    scales: Vec<f32>,
    sums: Vec<BlockSums>,
    /// One for each super-block; none where the scheme has no super-blocks.
    pairs: Vec<PairSums>,
    /// Inputs of a row.
    pub(crate) k: usize,
    rows: usize,
    scheme: Scheme,
}

/// The rows of one group.
pub(crate) struct Group<'a, const R: usize> {
    /// By block of 32 inputs.
    pub(crate) words: &'a [[[i32; 8]; R]],
    /// By group of inputs of the scheme.
    pub(crate) scales: &'a [[f32; R]],
    /// By block of 32 inputs.
    pub(crate) sums: &'a [[BlockSums; R]],
    /// By super-block.
    pub(crate) pairs: &'a [[PairSums; R]],
}

/// One row, wherever its group has it.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    all: &'a Activations,
    first: usize,
    size: usize,
    index: usize,
}

impl Activations {
    /// Quantises `rows`, `(rows, k)` with `k` a multiple of the scheme's group.
    pub(crate) fn quantise(rows: &[f32], k: usize, scheme: Scheme) -> Self {
        let count = rows.len() / k;
        let mut all = Self {
            words: vec![[0; 8]; rows.len() / BLOCK],
            scales: vec![0.0; rows.len() / scheme.group()],
            sums: vec![BlockSums::default(); rows.len() / BLOCK],
            pairs: match scheme {
                Scheme::Super => vec![PairSums::default(); rows.len() / SUPER],
                Scheme::Block => Vec::new(),
            },
            k,
            rows: count,
            scheme,
        };
        // Rounding is one instruction on any processor of the last ten years, and a call in a portable build.
        Arch::new().dispatch(Quantise {
            all: &mut all,
            rows,
        });
        all
    }

    #[inline(always)]
    fn quantise_row(&mut self, row: usize, values: &[f32]) {
        let blocks = self.scheme.group() / BLOCK;
        let (first, size, index) = self.place(row);
        for (group, values) in values.chunks_exact(self.scheme.group()).enumerate() {
            let inverse = inverse_scale(values, self.scheme);
            let scale = if inverse == 0.0 { 0.0 } else { 1.0 / inverse };
            self.scales[first * (self.k / self.scheme.group()) + group * size + index] = scale;
            for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
                let at = first * (self.k / BLOCK) + (group * blocks + block) * size + index;
                let sum = quantise_block(values, inverse, &mut self.words[at]);
                self.sums[at] = BlockSums {
                    halves_by_32: sum.map(|half| -32 * half),
                    by_128: -128 * (sum[0] + sum[1]),
                    whole: (sum[0] + sum[1]) as f32,
                };
                if self.scheme == Scheme::Super {
                    let pairs = &mut self.pairs[first * (self.k / SUPER) + group * size + index];
                    // Of at most 32 * 127, so that it is a half word.
                    pairs[block / 2] |= ((sum[0] + sum[1]) & 0xffff) << (block % 2 * 16);
                }
            }
        }
    }

    /// The first row of a row's group, the group's size, and the row's place in it.
    #[inline(always)]
    fn place(&self, row: usize) -> (usize, usize, usize) {
        let first = row / ROWS * ROWS;
        (first, ROWS.min(self.rows - first), row - first)
    }

    /// The group of `R` rows that starts at `first`.
    #[inline(always)]
    pub(crate) fn group<const R: usize>(&self, first: usize) -> Group<'_, R> {
        let (blocks, groups) = (self.k / BLOCK, self.k / self.scheme.group());
        Group {
            words: self.words[first * blocks..][..R * blocks].as_chunks().0,
            scales: self.scales[first * groups..][..R * groups].as_chunks().0,
            sums: self.sums[first * blocks..][..R * blocks].as_chunks().0,
            pairs: match self.scheme {
                Scheme::Super => self.pairs[first * groups..][..R * groups].as_chunks().0,
                Scheme::Block => &[],
            },
        }
    }

    /// One row.
    pub(crate) fn row(&self, row: usize) -> Row<'_> {
        let (first, size, index) = self.place(row);
        Row {
            all: self,
            first,
            size,
            index,
        }
    }
}

impl Row<'_> {
    #[inline(always)]
    pub(crate) fn words(&self, block: usize) -> &[i32; 8] {
        &self.all.words[self.at(BLOCK, block)]
    }

    #[inline(always)]
    pub(crate) fn sums(&self, block: usize) -> BlockSums {
        self.all.sums[self.at(BLOCK, block)]
    }

    #[inline(always)]
    pub(crate) fn scale(&self, group: usize) -> f32 {
        self.all.scales[self.at(self.all.scheme.group(), group)]
    }

    #[inline(always)]
    fn at(&self, inputs: usize, index: usize) -> usize {
        self.first * (self.all.k / inputs) + index * self.size + self.index
    }
}

/// Fills [`Activations`] from `(rows, k)`.
struct Quantise<'a> {
    all: &'a mut Activations,
    rows: &'a [f32],
}

impl WithSimd for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in 0..self.all.rows {
            self.all
                .quantise_row(row, &self.rows[row * self.all.k..][..self.all.k]);
        }
    }
}

/// Factor that a group is multiplied by; 0 for a group of zeros.
#[inline(always)]
fn inverse_scale(values: &[f32], scheme: Scheme) -> f32 {
    // Largest and smallest in sixteen lanes each, since one running value would be a chain as long as the group.
    let (mut high, mut low) = ([0f32; 16], [0f32; 16]);
    for chunk in values.as_chunks::<16>().0 {
        for lane in 0..16 {
            high[lane] = if chunk[lane] > high[lane] {
                chunk[lane]
            } else {
                high[lane]
            };
            low[lane] = if chunk[lane] < low[lane] {
                chunk[lane]
            } else {
                low[lane]
            };
        }
    }
    let (mut highest, mut lowest) = (0f32, 0f32);
    for lane in 0..16 {
        highest = highest.max(high[lane]);
        lowest = lowest.min(low[lane]);
    }
    let largest = highest.max(-lowest);
    if largest == 0.0 {
        return 0.0;
    }
    // Super-blocks map the largest value to -127 with its own sign, as ggml's Q8_K does; blocks map it to +-127.
    match scheme {
        Scheme::Super if highest >= -lowest => -127.0 / largest,
        _ => 127.0 / largest,
    }
}

/// Returns the sums of the quants over both halves.
#[inline(always)]
fn quantise_block(values: &[f32; BLOCK], inverse: f32, words: &mut [i32; 8]) -> [i32; 2] {
    let mut quants = [0i32; BLOCK];
    for i in 0..BLOCK {
        // In -127..=127, so the cast is exact.
        quants[i] = (values[i] * inverse).round_ties_even() as i32;
    }
    let (mut first, mut second) = (0, 0);
    for i in 0..BLOCK / 2 {
        first += quants[i];
        second += quants[i + BLOCK / 2];
    }
    for i in 0..8 {
        let byte = |j: usize| (quants[4 * i + j] & 0xff) << (8 * j);
        words[i] = byte(0) | byte(1) | byte(2) | byte(3);
    }
    [first, second]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_values_stay_within_half_a_step() {
        let rows: Vec<f32> = (0..9 * 512)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.03)
            .collect();
        for scheme in [Scheme::Super, Scheme::Block] {
            let acts = Activations::quantise(&rows, 512, scheme);
            for (i, value) in rows.iter().enumerate() {
                let (row, column) = (acts.row(i / 512), i % 512);
                let word = row.words(column / 32)[column % 32 / 4];
                let quant = word.to_le_bytes()[column % 4].cast_signed();
                let scale = row.scale(column / scheme.group());
                let gap = (scale * f32::from(quant) - value).abs();
                assert!(gap <= scale.abs() * 0.5001, "{scheme:?} at {i}");
            }
            let row = acts.row(8);
            let quants = row.words(3).iter().flat_map(|word| word.to_le_bytes());
            let sum: i32 = quants.map(|byte| i32::from(byte.cast_signed())).sum();
            let sums = row.sums(3);
            assert_eq!((sums.whole, sums.by_128), (sum as f32, -128 * sum));
            assert_eq!(sums.halves_by_32.iter().sum::<i32>(), -32 * sum);
            // The pairs of the first super-block, of the last of nine rows; block 3 is the upper half of the second.
            let upper = acts.pairs.get(8).map(|pairs| pairs[1] >> 16);
            let expected = (scheme == Scheme::Super).then_some(sum);
            assert_eq!(upper, expected);
        }
    }

    #[test]
    fn a_group_of_zeros_has_scale_zero() {
        let acts = Activations::quantise(&[0.0; 256], 256, Scheme::Super);
        assert_eq!((acts.row(0).scale(0), acts.row(0).words(0)[7]), (0.0, 0));
    }
}
