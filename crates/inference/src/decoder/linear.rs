//! A layer that multiplies by a weight matrix of any format.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Result, Tensor};

use crate::checkpoint::{CheckpointError, RawTensor};
use kernels::{Matrix, MatrixProduct, QuantisedRows};

/// `x W^T + b` for `x` of `(rows, inputs)`.
pub(super) struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

enum Weight {
    /// Our own batch-invariant kernels.
    Cpu(Matrix),
    /// candle's kernels; rows may differ in their last bits from batch to batch.
    Device(QMatMul),
}

/// The order in which a checkpoint stores the rows of each head of a query or key matrix.
#[derive(Clone, Copy)]
pub(super) enum RowOrder {
    /// As the decoder uses them.
    Plain,
    /// Rotary pairs adjacent, for heads of this size; the decoder wants the first halves first.
    Interleaved { head_dim: usize },
}

impl Linear {
    /// Packs the weight; a few hundred MB a second.
    pub(super) fn load(
        weight: &RawTensor,
        bias: Option<Tensor>,
        order: RowOrder,
        device: &Device,
    ) -> std::result::Result<Self, CheckpointError> {
        let wrong = |reason: String| CheckpointError::Weight {
            name: weight.name.clone(),
            reason,
        };
        let unusable = |error: &dyn std::fmt::Display| wrong(format!("cannot be used: {error}"));
        let &[n, k] = weight.shape.as_slice() else {
            return Err(wrong(format!(
                "has shape {:?}, a matrix was expected",
                weight.shape
            )));
        };
        let bytes = ordered(weight.bytes, n, order);
        let weight = if device.is_cpu() {
            let matrix = Matrix::pack(&bytes, weight.format, (n, k));
            Weight::Cpu(matrix.map_err(|error| unusable(&error))?)
        } else {
            let matrix = device_matrix(&bytes, weight.format, (n, k), device);
            Weight::Device(matrix.map_err(|error| unusable(&error))?)
        };
        Ok(Self { weight, bias })
    }

    /// `(rows, inputs)` to `(rows, outputs)`.
    pub(super) fn forward(&self, x: &Inputs) -> Result<Tensor> {
        let y = match &self.weight {
            Weight::Cpu(matrix) => x.rows.apply_op1_no_bwd(&MatrixProduct(matrix, &x.shared))?,
            Weight::Device(matrix) => matrix.forward(x.rows)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Inputs of one layer or several: `(rows, inputs)`.
pub(super) struct Inputs<'a> {
    rows: &'a Tensor,
    shared: QuantisedRows,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(rows: &'a Tensor) -> Self {
        Self {
            rows,
            shared: QuantisedRows::default(),
        }
    }
}

fn device_matrix(
    bytes: &[u8],
    format: GgmlDType,
    shape: (usize, usize),
    device: &Device,
) -> Result<QMatMul> {
    let storage = QStorage::from_data(Cow::Borrowed(bytes), device, format)?;
    QMatMul::from_qtensor(QTensor::new(storage, shape)?)
}

/// Puts rows in the decoder's order; exact, since quantisation never crosses rows.
///
/// GGUF's llama rotates neighbours (rows 2i and 2i+1 of a head), everybody else rotates halves (rows i and i + dim/2).
/// Moving the rows once lets the decoder have one rotation.
pub(super) fn ordered(bytes: &[u8], rows: usize, order: RowOrder) -> Cow<'_, [u8]> {
    let RowOrder::Interleaved { head_dim } = order else {
        return Cow::Borrowed(bytes);
    };
    let width = bytes.len() / rows;
    let mut out = Vec::with_capacity(bytes.len());
    for row in 0..rows {
        let (head, i) = (row / head_dim, row % head_dim);
        let half = head_dim / 2;
        let from = head * head_dim + if i < half { 2 * i } else { 2 * (i - half) + 1 };
        out.extend_from_slice(&bytes[from * width..][..width]);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_rows_become_halves_head_by_head() {
        let rows: Vec<u8> = (0..8).collect();
        let order = RowOrder::Interleaved { head_dim: 4 };
        assert_eq!(*ordered(&rows, 8, order), [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
