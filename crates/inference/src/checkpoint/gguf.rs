//! GGUF files: header by `tokenizer`'s parser, ranges checked here, weights left in the mapping.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use tokenizer::Tokenizer;
use tokenizer::gguf::{Header, Metadata, Value};

use super::description::{self, Description};
use super::error::CheckpointError;
use super::mapping::Mapping;
use super::metadata;
use super::suggested::SuggestedSampling;
use super::tensor::RawTensor;

/// An opened GGUF file.
pub(super) struct Gguf {
    mapping: Arc<Mapping>,
    tensors: HashMap<String, Entry>,
    /// Offset of the tensors' data, in bytes.
    data_offset: u64,
}

struct Entry {
    shape: Vec<usize>,
    format: GgmlDType,
    /// Offset from the beginning of the data, in bytes.
    offset: u64,
}

/// Tokenizer in the metadata, and true if there are weights too.
pub(super) fn tokenizer(path: &Path) -> Result<(Tokenizer, bool), CheckpointError> {
    let (gguf, metadata) = Gguf::open(path)?;
    Ok((Tokenizer::from_gguf(&metadata)?, !gguf.tensors.is_empty()))
}

pub(super) fn open(path: &Path) -> Result<(Description, Gguf), CheckpointError> {
    let (gguf, metadata) = Gguf::open(path)?;
    gguf.check_ranges()?;
    let vocab_size = match gguf.tensor("token_embd.weight")? {
        // A shape that is no matrix is refused where the embedding is used.
        Some(embedding) => embedding.shape.first().copied().unwrap_or_default(),
        None => return Err(CheckpointError::missing("token_embd.weight")),
    };
    let architecture = metadata::architecture(&metadata, vocab_size)?;
    let tokenizer = Arc::new(Tokenizer::from_gguf(&metadata)?);
    let template = description::template(&tokenizer)?;
    let name = metadata.get("general.name").and_then(Value::as_text);
    let file_name = || {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let name = name.map(str::to_owned).or_else(file_name);
    let file_bytes = gguf.mapping.len() as u64;
    let description = Description {
        architecture,
        tokenizer,
        template,
        name: name.unwrap_or_default(),
        suggested: SuggestedSampling::of_gguf(&metadata),
        file_bytes,
    };
    Ok((description, gguf))
}

impl Gguf {
    /// Reads the header.
    fn open(path: &Path) -> Result<(Self, Metadata), CheckpointError> {
        let mapping = Arc::new(Mapping::open(path)?);
        let header = Header::parse(&mapping).map_err(|error| CheckpointError::Corrupt {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let mut tensors = HashMap::with_capacity(header.tensors.len());
        for info in header.tensors {
            let format = format(info.format).ok_or_else(|| CheckpointError::Weight {
                name: info.name.clone(),
                reason: format!(
                    "has ggml's format number {}, which is not supported; take a file in Q4_K_M, Q8_0 or F16 instead",
                    info.format
                ),
            })?;
            let entry = Entry {
                shape: info.shape,
                format,
                offset: info.offset,
            };
            tensors.insert(info.name, entry);
        }
        let gguf = Self {
            mapping,
            tensors,
            data_offset: header.data_offset,
        };
        Ok((gguf, header.metadata))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<RawTensor<'_>>, CheckpointError> {
        let Some(entry) = self.tensors.get(name) else {
            return Ok(None);
        };
        let wrong = |reason: &str| CheckpointError::Weight {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        let elements = entry
            .shape
            .iter()
            .try_fold(1usize, |n, d| n.checked_mul(*d));
        let elements = elements.ok_or_else(|| wrong("has an absurd shape"))?;
        if !elements.is_multiple_of(entry.format.block_size()) {
            return Err(wrong("does not divide into its format's blocks"));
        }
        let length = elements / entry.format.block_size() * entry.format.type_size();
        let start = self.data_offset.checked_add(entry.offset);
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
            format: entry.format,
            shape: entry.shape.clone(),
            mapping: &self.mapping,
            offset: start.unwrap_or_default(),
        }))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    pub(super) fn release(&self) {
        self.mapping.release();
    }

    pub(super) fn formats(&self, add: &mut impl FnMut(GgmlDType, u64)) {
        for entry in self.tensors.values() {
            add(entry.format, entry.shape.iter().product::<usize>() as u64);
        }
    }

    /// Every tensor lies inside the file: found at once, not when its layer is read.
    fn check_ranges(&self) -> Result<(), CheckpointError> {
        self.tensors
            .keys()
            .try_for_each(|name| self.tensor(name).map(|_| ()))
    }
}

/// Format by ggml's number; none for those that candle does not read.
fn format(number: u32) -> Option<GgmlDType> {
    Some(match number {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        9 => GgmlDType::Q8_1,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        15 => GgmlDType::Q8K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}
