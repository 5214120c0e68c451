//! The probability mass of many logits at once: most of what a distribution costs.

use pulp::Arch;

use kernels::exp;

/// Sum of `exp((logit - highest) * scale)`. The order of additions is the same on every processor.
pub(super) fn sum(logits: &[f32], highest: f32, scale: f32) -> f64 {
    // Short sums in single precision stay exact enough, and in vector registers.
    const LANES: usize = 16;
    const BLOCK: usize = 16 * LANES;
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut total = 0.0;
            for block in logits.chunks(BLOCK) {
                let mut lanes = [0.0_f32; LANES];
                let mut rows = block.chunks_exact(LANES);
                for row in &mut rows {
                    for (lane, logit) in lanes.iter_mut().zip(row) {
                        *lane += exp((logit - highest) * scale);
                    }
                }
                for (lane, logit) in lanes.iter_mut().zip(rows.remainder()) {
                    *lane += exp((logit - highest) * scale);
                }
                total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
            }
            total
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_length_are_right() {
        for length in [0, 1, 15, 16, 17, 255, 256, 257, 5000] {
            let logits: Vec<f32> = (0..length).map(|i| ((i * 37) % 101) as f32 / 9.0).collect();
            let exact: f64 = logits
                .iter()
                .map(|&l| (f64::from(l - 12.0) * 0.5).exp())
                .sum();
            assert!((sum(&logits, 12.0, 0.5) - exact).abs() <= 1e-6 * exact);
        }
    }
}
