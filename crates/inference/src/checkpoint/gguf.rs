//! GGUF files: header by candle, after a check of our own; ranges checked here; weights left in the mapping.

mod header;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;

use super::{Checkpoint, CheckpointError, Mapping, RawTensor, Weights, metadata};
use crate::tokenizer::Tokenizer;

/// An opened GGUF file.
pub(super) struct Gguf {
    mapping: Arc<Mapping>,
    content: Content,
}

/// The tokenizer in the metadata, and whether there are weights behind it.
pub(super) fn tokenizer(path: &Path) -> Result<(Tokenizer, bool), CheckpointError> {
    let gguf = Gguf::open(path)?;
    let has_weights = !gguf.content.tensor_infos.is_empty();
    Ok((Tokenizer::from_gguf(&gguf.content)?, has_weights))
}

pub(super) fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let mut gguf = Gguf::open(path)?;
    gguf.check_ranges()?;
    let vocab_size = match gguf.tensor("token_embd.weight")? {
        // A shape that is no matrix is refused where the embedding is used.
        Some(embedding) => embedding.shape.first().copied().unwrap_or_default(),
        None => return Err(CheckpointError::missing("token_embd.weight")),
    };
    let architecture = metadata::architecture(&gguf.content, vocab_size)?;
    let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf.content)?);
    let template = super::template(&tokenizer)?;
    let name = gguf
        .content
        .metadata
        .get("general.name")
        .and_then(|name| name.to_string().ok());
    let file_name = || {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let name = name.cloned().or_else(file_name).unwrap_or_default();
    // Vocabularies are large as metadata values and not needed again.
    gguf.content
        .metadata
        .retain(|key, _| !key.starts_with("tokenizer."));
    let file_bytes = gguf.mapping.len() as u64;
    let weights = Weights::Gguf(gguf);
    Ok(Checkpoint {
        architecture,
        tokenizer,
        template,
        name,
        file_bytes,
        weights,
    })
}

impl Gguf {
    /// Reads the header.
    fn open(path: &Path) -> Result<Self, CheckpointError> {
        let mapping = Arc::new(Mapping::open(path)?);
        header::check(&mapping)?;
        let content = Content::read(&mut Cursor::new(&mapping[..])).map_err(|error| {
            CheckpointError::Corrupt {
                path: path.to_owned(),
                reason: format!("its header cannot be read ({error})"),
            }
        })?;
        Ok(Self { mapping, content })
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<RawTensor<'_>>, CheckpointError> {
        let Some(info) = self.content.tensor_infos.get(name) else {
            return Ok(None);
        };
        let wrong = |reason: &str| CheckpointError::Weight {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        let shape = info.shape.dims().to_vec();
        let elements = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let elements = elements.ok_or_else(|| wrong("has an absurd shape"))?;
        if !elements.is_multiple_of(info.ggml_dtype.block_size()) {
            return Err(wrong("does not divide into its format's blocks"));
        }
        let length = elements / info.ggml_dtype.block_size() * info.ggml_dtype.type_size();
        let start = self.content.tensor_data_offset.checked_add(info.offset);
        let start = start.and_then(|start| usize::try_from(start).ok());
        let bytes = start
            .and_then(|start| self.mapping.get(start..start.checked_add(length)?))
            .ok_or_else(|| CheckpointError::Corrupt {
                path: self.mapping.path().to_owned(),
                reason: format!("it ends before the weight \"{name}\" does; it is truncated"),
            })?;
        Ok(Some(RawTensor {
            name: name.to_owned(),
            bytes,
            format: info.ggml_dtype,
            shape,
            mapping: &self.mapping,
            offset: start.unwrap_or_default(),
        }))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.content.tensor_infos.keys()
    }

    pub(super) fn release(&self) {
        self.mapping.release();
    }

    pub(super) fn formats(&self, add: &mut impl FnMut(GgmlDType, u64)) {
        for info in self.content.tensor_infos.values() {
            add(info.ggml_dtype, info.shape.elem_count() as u64);
        }
    }

    /// Every tensor lies inside the file: found at once, not when its layer is read.
    fn check_ranges(&self) -> Result<(), CheckpointError> {
        self.content
            .tensor_infos
            .keys()
            .try_for_each(|name| self.tensor(name).map(|_| ()))
    }
}
