//! The exponential of many small floats.
//!
//! The sum over a vocabulary is most of what a law costs, and the library's `exp` handles one number at
//! a time. This one has no branch and no table, so the compiler makes vector code of a loop over it. Nor
//! has it a fused multiplication, so that it gives the same bits on every processor and is fast on each.

use pulp::Arch;

/// `exp(x)` for x from -87 to 0, within 3e-7 of it, relatively; anything lower counts as -87.
#[inline(always)]
pub(super) fn exponential(x: f32) -> f32 {
    // Adding this rounds to an integer, which then sits in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first short enough for its products to be exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let rest = (x - power * LN2_HIGH) - power * LN2_LOW;
    // Taylor's series; the rest is at most ln 2 / 2.
    let mut sum = 1.0 / 720.0;
    for factor in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * rest + factor;
    }
    // Wrapping, since a check for overflow would end the vector code.
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    sum * f32::from_bits(power.wrapping_add(127) << 23)
}

/// Sum of `exp((logit - highest) * scale)`. The order of additions is fixed, whatever the processor.
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
                        *lane += exponential((logit - highest) * scale);
                    }
                }
                for (lane, logit) in lanes.iter_mut().zip(rows.remainder()) {
                    *lane += exponential((logit - highest) * scale);
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
    fn it_is_the_exponential_within_its_promise() {
        for step in 0..=870_000 {
            let x = -(step as f32) / 10_000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exponential(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "{x}: {error}");
        }
    }

    #[test]
    fn what_is_impossible_weighs_nothing() {
        assert!(exponential(f32::NEG_INFINITY) < 2e-38);
        assert!(exponential(-1e30) < 2e-38);
    }

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
