//! The feed-forward gate, `activation(gate) * up`, in one pass over memory.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, WithDType, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::exponential::exp;

/// The non-linearity of the feed-forward gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// The tanh approximation of the Gaussian error linear unit, as Gemma was trained with.
    GeluTanh,
}

/// `activation(gate) * up`; both `(rows, width)`, contiguous, `f32`.
pub struct Gated(pub Activation);

/// Elements that one task takes.
const CHUNK: usize = 16_384;

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (Some(gate_range), Some(up_range)) = (
            gate_layout.contiguous_offsets(),
            up_layout.contiguous_offsets(),
        ) else {
            bail!("gated: inputs must be contiguous");
        };
        let gate = &gate.as_slice::<f32>()?[gate_range.0..gate_range.1];
        let up = &up.as_slice::<f32>()?[up_range.0..up_range.1];
        let mut out = vec![0f32; gate.len()];
        let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
        out.par_chunks_mut(CHUNK)
            .zip(inputs)
            .for_each(|(out, (gate, up))| {
                let arch = Arch::new();
                match self.0 {
                    Activation::Silu => arch.dispatch(Apply {
                        out,
                        gate,
                        up,
                        activation: silu,
                    }),
                    Activation::GeluTanh => {
                        arch.dispatch(Apply {
                            out,
                            gate,
                            up,
                            activation: gelu_tanh,
                        });
                    }
                }
            });
        Ok((f32::to_cpu_storage_owned(out), gate_layout.shape().clone()))
    }
}

/// `out = activation(gate) * up`.
struct Apply<'a, F> {
    out: &'a mut [f32],
    gate: &'a [f32],
    up: &'a [f32],
    activation: F,
}

impl<F: Fn(f32) -> f32> WithSimd for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((out, gate), up) in self.out.iter_mut().zip(self.gate).zip(self.up) {
            *out = (self.activation)(*gate) * up;
        }
    }
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `x * sigmoid(2 y)` with `y = sqrt(2/pi) (x + 0.044715 x^3)`, which is `x/2 (1 + tanh y)`.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let y = SQRT_2_OVER_PI * (0.044_715 * x * x).mul_add(x, x);
    x / (1.0 + exp(-2.0 * y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_agree_with_their_definitions() {
        for i in -800..800 {
            let x = f64::from(i) / 100.0;
            let silu_exact = x / (1.0 + (-x).exp());
            let y = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            let gelu_exact = 0.5 * x * (1.0 + y.tanh());
            assert!(
                (f64::from(silu(x as f32)) - silu_exact).abs() < 2e-6,
                "silu at {x}"
            );
            assert!(
                (f64::from(gelu_tanh(x as f32)) - gelu_exact).abs() < 2e-6,
                "gelu at {x}"
            );
        }
    }
}
