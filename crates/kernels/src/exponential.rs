//! Exponential of many floats, for attention, activations and distributions.
//!
//! The C library's handles one number a call, which would be a tenth of a verification and most of a distribution. This one has no branch,
//! no table and no checked conversion, so the compiler makes vector code of a loop over it. Nor has it a fused multiplication, so
//! that it gives the same bits on every processor and is fast on each, dispatched or not.

use std::f32::consts::LOG2_E;

/// Adding this rounds to an integer, which then sits in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts, the first short enough for its products to be exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `e^x` to two units in the last place for `x` in [-87, 88]; below and above it stays at the ends' values.
///
/// Range reduction to `[-ln 2 / 2, ln 2 / 2]` and the Taylor polynomial of degree 7, whose remainder there is under 6e-9.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "out of a dispatched function it would be compiled without its vector instructions"
)]
#[expect(
    clippy::manual_clamp,
    reason = "`clamp` keeps NaN and compares twice for it"
)]
pub fn exp(x: f32) -> f32 {
    let x = x.max(-87.0).min(88.0);
    let rounded = x * LOG2_E + ROUND;
    let power = rounded - ROUND;
    let rest = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    let mut sum = 1.0 / 5040.0;
    for factor in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * rest + factor;
    }
    // Wrapping, since a check for overflow would end the vector code; -126..=127 and 127 make a valid exponent.
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    sum * f32::from_bits(power.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn it_is_the_exponential_within_its_promise() {
        for step in -870_000..=880_000 {
            let x = step as f32 / 10_000.0;
            let exact = f64::from(x).exp();
            let nearest = exact as f32;
            let unit = f64::from(nearest.next_up() - nearest);
            assert!((f64::from(exp(x)) - exact).abs() < 2.0 * unit, "at {x}");
        }
    }

    #[test]
    fn beyond_its_range_it_stays_at_the_ends() {
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), exp(-87.0).to_bits());
        assert_eq!(exp(-1e30).to_bits(), exp(-87.0).to_bits());
        assert_eq!(exp(f32::INFINITY).to_bits(), exp(88.0).to_bits());
        assert!(exp(-87.0) < 2e-38 && exp(88.0).is_finite());
    }
}
