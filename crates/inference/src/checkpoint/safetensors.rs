//! Folders as the model hub lays them out: `config.json`, `*.safetensors`, `tokenizer.json`.

mod config;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use serde::Deserialize;

use self::config::Config;
use super::description::{self, Description};
use super::error::CheckpointError;
use super::mapping::Mapping;
use super::suggested::SuggestedSampling;
use super::tensor::RawTensor;
use tokenizer::Tokenizer;

/// Most bytes a JSON header or configuration may have.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// The mapped weight files of a folder.
pub(super) struct Safetensors {
    files: Vec<Arc<Mapping>>,
    tensors: HashMap<String, Entry>,
}

struct Entry {
    file: usize,
    offset: usize,
    length: usize,
    format: GgmlDType,
    shape: Vec<usize>,
}

pub(super) fn open(folder: &Path) -> Result<(Description, Safetensors), CheckpointError> {
    let config: Config = json(&folder.join("config.json"))?;
    let architecture = config.architecture()?;
    let mut weights = Safetensors::open(folder)?;
    weights.tie(config.ties_output())?;
    let tokenizer = Arc::new(Tokenizer::from_file(&folder.join("tokenizer.json"))?);
    let template = description::template(&tokenizer)?;
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let file_bytes = weights.files.iter().map(|file| file.len() as u64).sum();
    let generation = folder.join("generation_config.json");
    let suggested = if generation.exists() {
        SuggestedSampling::of_json(&json(&generation)?)
    } else {
        SuggestedSampling::default()
    };
    let description = Description {
        architecture,
        tokenizer,
        template,
        name: name.unwrap_or_default(),
        suggested,
        file_bytes,
    };
    Ok((description, weights))
}

fn json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, CheckpointError> {
    let io = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    let corrupt = |reason: String| CheckpointError::Corrupt {
        path: path.to_owned(),
        reason,
    };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(corrupt("it is not a file".to_owned()));
    }
    if metadata.len() > MAX_JSON_BYTES {
        return Err(corrupt(format!("it is larger than {MAX_JSON_BYTES} bytes")));
    }
    let text = std::fs::read(path).map_err(io)?;
    serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))
}

impl Safetensors {
    fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io {
            path: folder.to_owned(),
            source,
        };
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "safetensors")
            {
                paths.push(path);
            }
        }
        paths.sort();
        let mut files = Self {
            files: Vec::new(),
            tensors: HashMap::new(),
        };
        for path in paths {
            files.add(Arc::new(Mapping::open(&path)?))?;
        }
        if files.tensors.is_empty() {
            let reason = "it holds no *.safetensors file with weights".to_owned();
            return Err(CheckpointError::Corrupt {
                path: folder.to_owned(),
                reason,
            });
        }
        Ok(files)
    }

    /// Forgets a separate output matrix of a model that does not use it; refuses a model that lacks its own.
    fn tie(&mut self, tied: bool) -> Result<(), CheckpointError> {
        const OUTPUT: &str = "lm_head.weight";
        if tied {
            self.tensors.remove(OUTPUT);
        } else if !self.tensors.contains_key(OUTPUT) {
            return Err(CheckpointError::missing(OUTPUT));
        }
        Ok(())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    /// Reads one file's header; the crate checks that every range lies inside the file.
    fn add(&mut self, mapping: Arc<Mapping>) -> Result<(), CheckpointError> {
        let corrupt = |reason: String| CheckpointError::Corrupt {
            path: mapping.path().to_owned(),
            reason,
        };
        let parsed = safetensors::SafeTensors::deserialize(&mapping)
            .map_err(|error| corrupt(format!("its header cannot be read ({error})")))?;
        let file = self.files.len();
        for (name, view) in parsed.tensors() {
            let format = match view.dtype() {
                safetensors::Dtype::F32 => GgmlDType::F32,
                safetensors::Dtype::F16 => GgmlDType::F16,
                safetensors::Dtype::BF16 => GgmlDType::BF16,
                // Buffers such as masks; a weight of this kind is reported as missing.
                _ => continue,
            };
            let offset = view.data().as_ptr().addr() - mapping.as_ptr().addr();
            let shape = view.shape().to_vec();
            let entry = Entry {
                file,
                offset,
                length: view.data().len(),
                format,
                shape,
            };
            self.tensors.insert(name, entry);
        }
        self.files.push(mapping);
        Ok(())
    }

    pub(super) fn release(&self) {
        self.files.iter().for_each(|file| file.release());
    }

    pub(super) fn formats(&self, add: &mut impl FnMut(GgmlDType, u64)) {
        for entry in self.tensors.values() {
            add(entry.format, entry.shape.iter().product::<usize>() as u64);
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Option<RawTensor<'_>> {
        let entry = self.tensors.get(name)?;
        let mapping = &self.files[entry.file];
        Some(RawTensor {
            name: name.to_owned(),
            bytes: &mapping[entry.offset..entry.offset + entry.length],
            format: entry.format,
            shape: entry.shape.clone(),
            mapping,
            offset: entry.offset,
        })
    }
}
