//! A weight as its file has it.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;

use super::error::CheckpointError;
use super::mapping::Mapping;

/// One tensor's bytes in the file. Shapes are outermost first: a matrix is `(outputs, inputs)`.
pub(crate) struct RawTensor<'a> {
    pub(crate) name: String,
    pub(crate) bytes: &'a [u8],
    pub(crate) format: GgmlDType,
    pub(crate) shape: Vec<usize>,
    /// File and offset of the bytes, for tensors that are read while the model runs.
    pub(crate) mapping: &'a Arc<Mapping>,
    pub(crate) offset: usize,
}

impl RawTensor<'_> {
    /// Refuses another shape than the configuration implies.
    pub(crate) fn expect(&self, shape: &[usize]) -> Result<(), CheckpointError> {
        if self.shape == shape {
            return Ok(());
        }
        let reason = format!(
            "has shape {:?}, the configuration implies {shape:?}",
            self.shape
        );
        Err(CheckpointError::Weight {
            name: self.name.clone(),
            reason,
        })
    }
}
