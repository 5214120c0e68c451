//! Activations as signed bytes, in the two schemes that ggml's quantised products use, so that our numbers follow its numbers.
//!
//! Each row is quantised by itself: nothing of one row can reach another, whatever the batch.

use pulp::Arch;

use super::tiles::{BLOCK, SUPER};

/// How finely activations are scaled.
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

/// Inputs that one entry of `sums` adds up.
pub(crate) const SUM: usize = 16;

/// Quantised rows: `value = scale * quant`.
pub(crate) struct Activations {
    /// Four signed bytes a word, the first in the lowest byte; `(rows, k / 4)`.
    pub(crate) words: Vec<i32>,
    /// `(rows, k / group)`.
    pub(crate) scales: Vec<f32>,
    /// Sums of 16 quants each, `(rows, k / 16)`.
    pub(crate) sums: Vec<i32>,
    /// Inputs of a row.
    pub(crate) k: usize,
}

impl Activations {
    /// Quantises `rows`, `(rows, k)` with `k` a multiple of the scheme's group.
    pub(crate) fn quantise(rows: &[f32], k: usize, scheme: Scheme) -> Self {
        let mut words = vec![0i32; rows.len() / 4];
        let mut sums = vec![0i32; rows.len() / SUM];
        let mut scales = vec![0f32; rows.len() / scheme.group()];
        // Rounding is one instruction on any processor of the last ten years, and a call in a portable build.
        Arch::new().dispatch(|| {
            let groups = rows.chunks_exact(scheme.group()).zip(&mut scales);
            let outputs = words.chunks_exact_mut(scheme.group() / 4);
            let outputs = outputs.zip(sums.chunks_exact_mut(scheme.group() / SUM));
            for ((group, scale), (words, sums)) in groups.zip(outputs) {
                *scale = quantise_group(group, words, sums, scheme);
            }
        });
        Self { words, scales, sums, k }
    }
}

/// Quantises one group and returns its scale, 0 for a group of zeros.
#[inline(always)]
fn quantise_group(values: &[f32], words: &mut [i32], sums: &mut [i32], scheme: Scheme) -> f32 {
    let mut lanes = [0f32; 16];
    for chunk in values.as_chunks::<16>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.max(value.abs());
        }
    }
    let largest = lanes.into_iter().fold(0f32, f32::max);
    if largest == 0.0 {
        return 0.0;
    }
    // Super-blocks map the largest value to -127 with its own sign, as ggml's Q8_K does; blocks map it to +-127.
    let inverse = match scheme {
        Scheme::Super => {
            let negative = values.iter().find(|v| v.abs() == largest).is_some_and(|v| *v < 0.0);
            if negative { 127.0 / largest } else { -127.0 / largest }
        }
        Scheme::Block => 127.0 / largest,
    };
    let chunks = values.as_chunks::<SUM>().0;
    for ((chunk, words), sum) in chunks.iter().zip(words.as_chunks_mut::<4>().0).zip(sums) {
        let quants = chunk.map(|value| (value * inverse).round_ties_even() as i32);
        *sum = quants.iter().sum();
        for (word, four) in words.iter_mut().zip(quants.as_chunks::<4>().0) {
            *word = i32::from_le_bytes(four.map(|q| q as u8));
        }
    }
    1.0 / inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_values_stay_within_half_a_step() {
        let row: Vec<f32> = (0..512).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.03).collect();
        for scheme in [Scheme::Super, Scheme::Block] {
            let acts = Activations::quantise(&row, 512, scheme);
            for (i, value) in row.iter().enumerate() {
                let scale = acts.scales[i / scheme.group()];
                let quant = acts.words[i / 4].to_le_bytes()[i % 4].cast_signed();
                let back = scale * f32::from(quant);
                assert!((back - value).abs() <= scale.abs() * 0.5001, "{scheme:?} at {i}");
            }
            let bytes = acts.words[12..16].iter().flat_map(|word| word.to_le_bytes());
            assert_eq!(acts.sums[3], bytes.map(|byte| i32::from(byte.cast_signed())).sum::<i32>());
        }
    }

    #[test]
    fn a_group_of_zeros_has_scale_zero() {
        let acts = Activations::quantise(&[0.0; 256], 256, Scheme::Super);
        assert_eq!((acts.scales[0], acts.words[7]), (0.0, 0));
    }
}
