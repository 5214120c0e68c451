//! From a checkpoint's tensors to weights that compute: shapes checked, rows put in order, offsets added.

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use super::linear::{Linear, RowOrder, ordered};
use crate::checkpoint::Architecture;
use crate::checkpoint::{Checkpoint, CheckpointError, Part, RawTensor};

/// Reads weights of the shapes that the architecture implies.
pub(super) struct Loader<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) device: &'a Device,
}

impl Loader<'_> {
    pub(super) fn norm(
        &self,
        part: Part,
        layer: usize,
        width: usize,
    ) -> Result<Tensor, CheckpointError> {
        let weight = self.checkpoint.weight(part, layer)?;
        weight.expect(&[width])?;
        let offset = self.checkpoint.architecture().norm_offset;
        self.vector(&weight, RowOrder::Plain, offset)
    }

    pub(super) fn linear(
        &self,
        part: Part,
        bias: Option<Part>,
        layer: usize,
        (n, k): (usize, usize),
    ) -> Result<Linear, CheckpointError> {
        let weight = self.checkpoint.weight(part, layer)?;
        weight.expect(&[n, k])?;
        let order = self.row_order(part);
        let bias = match bias {
            Some(bias) => self.checkpoint.optional(bias, layer)?,
            None => None,
        };
        let bias = bias.map(|bias| {
            bias.expect(&[n])?;
            self.vector(&bias, order, 0.0)
        });
        Linear::load(&weight, bias.transpose()?, order, self.device)
    }

    /// The output head: its own weight, or the embedding's where they are tied.
    pub(super) fn output(&self) -> Result<Linear, CheckpointError> {
        let Architecture {
            vocab_size, hidden, ..
        } = *self.checkpoint.architecture();
        let own = self.checkpoint.optional(Part::Output, 0)?;
        let weight = match own {
            Some(own) => own,
            None => self.checkpoint.weight(Part::Embedding, 0)?,
        };
        weight.expect(&[vocab_size, hidden])?;
        Linear::load(&weight, None, RowOrder::Plain, self.device)
    }

    /// Divisors of the rotary frequencies, where the file has them.
    pub(super) fn rope_factors(&self) -> Result<Option<Vec<f32>>, CheckpointError> {
        let Some(weight) = self.checkpoint.optional(Part::RopeFactors, 0)? else {
            return Ok(None);
        };
        weight.expect(&[self.checkpoint.architecture().head_dim / 2])?;
        let factors = self.vector(&weight, RowOrder::Plain, 0.0)?;
        factors
            .to_vec1()
            .map(Some)
            .map_err(|error| unreadable(&weight, &error))
    }

    fn row_order(&self, part: Part) -> RowOrder {
        let rotated = matches!(part, Part::Query | Part::Key);
        if rotated && self.checkpoint.interleaved_rotary() {
            RowOrder::Interleaved {
                head_dim: self.checkpoint.architecture().head_dim,
            }
        } else {
            RowOrder::Plain
        }
    }

    /// A vector as `f32`, with `offset` added.
    fn vector(
        &self,
        weight: &RawTensor,
        order: RowOrder,
        offset: f32,
    ) -> Result<Tensor, CheckpointError> {
        let read = || {
            let count = weight.shape.iter().product();
            let bytes = ordered(weight.bytes, count, order);
            let dtype = match weight.format {
                GgmlDType::F32 => DType::F32,
                GgmlDType::F16 => DType::F16,
                GgmlDType::BF16 => DType::BF16,
                other => candle_core::bail!("format {other:?} where a float was expected"),
            };
            let raw = Tensor::from_raw_buffer(&bytes, dtype, &[count], self.device)?;
            raw.to_dtype(DType::F32)? + f64::from(offset)
        };
        read().map_err(|error| unreadable(weight, &error))
    }
}

fn unreadable(weight: &RawTensor, error: &candle_core::Error) -> CheckpointError {
    CheckpointError::Weight {
        name: weight.name.clone(),
        reason: format!("cannot be used: {error}"),
    }
}
