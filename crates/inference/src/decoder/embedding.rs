//! Token embeddings, read row by row from the mapped file: of hundreds of megabytes a pass needs a few kilobytes.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Result, Tensor};

use crate::checkpoint::{CheckpointError, Mapping, RawTensor};

pub(super) struct Embedding {
    mapping: Arc<Mapping>,
    offset: usize,
    format: GgmlDType,
    row_bytes: usize,
    hidden: usize,
    scale: f32,
}

impl Embedding {
    pub(super) fn new(
        weight: &RawTensor,
        scale: f32,
    ) -> std::result::Result<Self, CheckpointError> {
        let &[rows, hidden] = weight.shape.as_slice() else {
            let reason = format!("has shape {:?}, a matrix was expected", weight.shape);
            return Err(CheckpointError::Weight {
                name: weight.name.clone(),
                reason,
            });
        };
        if !hidden.is_multiple_of(weight.format.block_size()) {
            let reason =
                format!("has rows of {hidden}, which do not divide into blocks of its format");
            return Err(CheckpointError::Weight {
                name: weight.name.clone(),
                reason,
            });
        }
        Ok(Self {
            mapping: Arc::clone(weight.mapping),
            offset: weight.offset,
            format: weight.format,
            row_bytes: weight.bytes.len() / rows,
            hidden,
            scale,
        })
    }

    /// `(ids)` to `(ids, hidden)`. Ids must be within the vocabulary, which the engine has checked.
    pub(super) fn forward(&self, ids: &[u32], device: &Device) -> Result<Tensor> {
        let mut bytes = Vec::with_capacity(ids.len() * self.row_bytes);
        for id in ids {
            let start = self.offset + *id as usize * self.row_bytes;
            bytes.extend_from_slice(&self.mapping[start..start + self.row_bytes]);
        }
        let storage = QStorage::from_data(Cow::Borrowed(&bytes), &Device::Cpu, self.format)?;
        let rows = QTensor::new(storage, (ids.len(), self.hidden))?.dequantize(&Device::Cpu)?;
        (rows * f64::from(self.scale))?.to_device(device)
    }
}
