//! Products with float weights, in the same tiles of 16 columns: `[tile][k][16]`.
//!
//! Ours rather than a general matrix library's because a row must get the same bits for any number of rows, which
//! libraries that pick a blocking by shape do not promise.

use bytemuck::Pod;
use half::{bf16, f16};
use pulp::{Arch, Simd, WithSimd};

use crate::tiles::COLUMNS;

/// A weight that widens to `f32` exactly.
pub(crate) trait Weight: Pod + Send + Sync {
    const ZERO: Self;
    fn widen(self) -> f32;
}

impl Weight for f32 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Weight for bf16 {
    const ZERO: Self = Self::ZERO;
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

impl Weight for f16 {
    const ZERO: Self = Self::ZERO;
    /// Moves exponent and mantissa into place and corrects the bias by a multiplication, which also normalises
    /// subnormals: right for every finite value, and weights are finite.
    #[inline(always)]
    fn widen(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
        f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
    }
}

/// Sums of one tile, `weights` being `(k, 16)`, for `R` rows of `activations`, `(rows, k)`, from `row` on.
pub(crate) fn sums<const R: usize, W: Weight>(
    weights: &[W],
    activations: &[f32],
    row: usize,
) -> [[f32; COLUMNS]; R] {
    Arch::new().dispatch(Tile::<R, W> {
        weights,
        activations,
        row,
    })
}

/// The arguments of [`sums`].
struct Tile<'a, const R: usize, W> {
    weights: &'a [W],
    activations: &'a [f32],
    row: usize,
}

impl<const R: usize, W: Weight> WithSimd for Tile<'_, R, W> {
    type Output = [[f32; COLUMNS]; R];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let k = self.weights.len() / COLUMNS;
        let mut rows = [&self.activations[..0]; R];
        for r in 0..R {
            rows[r] = &self.activations[(self.row + r) * k..][..k];
        }
        let mut sums = [[0f32; COLUMNS]; R];
        for (i, weights) in self.weights.as_chunks::<COLUMNS>().0.iter().enumerate() {
            let mut wide = [0f32; COLUMNS];
            for column in 0..COLUMNS {
                wide[column] = weights[column].widen();
            }
            for r in 0..R {
                for column in 0..COLUMNS {
                    sums[r][column] = wide[column].mul_add(rows[r][i], sums[r][column]);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_widens_exactly() {
        for bits in (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00) {
            let half = f16::from_bits(bits);
            assert_eq!(half.widen().to_bits(), half.to_f32().to_bits(), "{bits:#x}");
        }
    }
}
