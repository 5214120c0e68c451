//! Rotary position embedding: rows of cosines and sines for the positions of a pass.

use candle_core::{Device, Result, Tensor};

use crate::checkpoint::{Rotary, RotaryScaling};

/// Cosines and sines for the rows of a pass.
pub(super) struct Angles {
    pub(super) global: (Tensor, Tensor),
    pub(super) local: Option<(Tensor, Tensor)>,
}

/// The angular frequencies of one base.
pub(super) struct Frequencies(Vec<f64>);

impl Frequencies {
    pub(super) fn new(rotary: &Rotary, head_dim: usize) -> Self {
        let half = head_dim / 2;
        let plain = (0..half)
            .map(|i| rotary.base.powf(-((2 * i) as f64) / head_dim as f64))
            .enumerate();
        Self(
            plain
                .map(|(i, frequency)| scaled(frequency, i, &rotary.scaling))
                .collect(),
        )
    }

    /// Cosines and sines, `(positions, head_dim / 2)` each.
    pub(super) fn at(&self, positions: &[usize], device: &Device) -> Result<(Tensor, Tensor)> {
        let shape = (positions.len(), self.0.len());
        let angles = || {
            positions
                .iter()
                .flat_map(|p| self.0.iter().map(move |f| *p as f64 * f))
        };
        let cosines: Vec<f32> = angles().map(|angle| angle.cos() as f32).collect();
        let sines: Vec<f32> = angles().map(|angle| angle.sin() as f32).collect();
        Ok((
            Tensor::from_vec(cosines, shape, device)?,
            Tensor::from_vec(sines, shape, device)?,
        ))
    }
}

fn scaled(frequency: f64, index: usize, scaling: &RotaryScaling) -> f64 {
    match scaling {
        RotaryScaling::None => frequency,
        RotaryScaling::Linear(factor) => frequency / factor,
        RotaryScaling::Factors(factors) => frequency / f64::from(factors[index]),
        RotaryScaling::Llama3 {
            factor,
            low,
            high,
            original_context,
        } => {
            let wavelength = std::f64::consts::TAU / frequency;
            if wavelength < original_context / high {
                frequency
            } else if wavelength > original_context / low {
                frequency / factor
            } else {
                let ramp = (original_context / wavelength - low) / (high - low);
                (1.0 - ramp) * frequency / factor + ramp * frequency
            }
        }
    }
}
