//! Checkpoints: one view of a model's configuration and weights, whichever kind of file they come from.

mod gguf;
mod mapping;
mod metadata;
mod names;
mod safetensors;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::GgmlDType;

pub(crate) use mapping::Mapping;
pub(crate) use names::Part;

use crate::architecture::Architecture;
use tokenizer::Tokenizer;
use tokenizer::template::ChatTemplate;

/// Why a checkpoint cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// There is nothing at the path, or it cannot be read.
    #[error("cannot read {}; check the path and its permissions", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what its name says, or ends too early.
    #[error("{} is not a usable checkpoint: {reason}; fetch it again, or check it with `duet models verify`", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A model of a kind that the decoder does not have.
    #[error(
        "architecture \"{0}\" is not supported; take a model of llama (with mistral), qwen2, qwen3 or gemma3"
    )]
    Architecture(String),
    /// A configuration value that is missing or makes no sense.
    #[error(
        "the model's configuration \"{key}\" {reason}; fetch the model again, or take one that was converted for llama.cpp or transformers"
    )]
    Configuration {
        /// The metadata key or JSON field.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A weight that the architecture needs is not there, or has another shape.
    #[error(
        "the weight \"{name}\" {reason}; fetch the model again, or take one that was converted for this architecture"
    )]
    Weight {
        /// The tensor's name in the file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer cannot be built.
    #[error(
        "the model's tokenizer cannot be used; fetch the model again, or take one whose tokenizer is supported"
    )]
    Tokenizer(#[from] tokenizer::TokenizerError),
    /// The chat template cannot be parsed.
    #[error("the model's chat template cannot be used; take a model with another one")]
    Template(#[from] tokenizer::template::TemplateError),
}

impl CheckpointError {
    fn missing(name: &str) -> Self {
        Self::Weight {
            name: name.to_owned(),
            reason: "is not in the checkpoint".to_owned(),
        }
    }
}

/// The tokenizer of a model whose weights are left where they are.
#[derive(Debug)]
pub struct BareTokenizer {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Whether weights are there too, so that the model could be loaded.
    pub has_weights: bool,
}

impl BareTokenizer {
    /// Reads the tokenizer of a GGUF file, of a folder that [`crate::engine::Engine::load`] takes, or a bare `tokenizer.json`
    /// under any name, as [`crate::store`] keeps them.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        };
        let (tokenizer, has_weights) = if path.is_dir() {
            (Tokenizer::from_file(&path.join("tokenizer.json"))?, true)
        } else if begins_as_gguf(path).map_err(failed)? {
            gguf::tokenizer(path)?
        } else {
            (Tokenizer::from_file(path)?, false)
        };
        Ok(Self {
            tokenizer,
            has_weights,
        })
    }
}

fn begins_as_gguf(path: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut first)?;
    Ok(first == b"GGUF")
}

/// A model's files, opened and checked; weights stay in the mapped files.
pub(crate) struct Checkpoint {
    pub(crate) architecture: Architecture,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: Option<ChatTemplate>,
    pub(crate) name: String,
    pub(crate) file_bytes: u64,
    weights: Weights,
}

/// Compiles the template that came with a tokenizer.
fn template(tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>, CheckpointError> {
    let Some(source) = tokenizer.chat_template() else {
        return Ok(None);
    };
    let specials = tokenizer.specials();
    let spelling = |id: Option<u32>| id.and_then(|id| tokenizer.control_name(id));
    let bos = spelling(specials.bos).unwrap_or_default();
    let eos = spelling(specials.eos).unwrap_or_default();
    Ok(Some(ChatTemplate::new(source, bos, eos)?))
}

enum Weights {
    Gguf(gguf::Gguf),
    Safetensors(safetensors::Safetensors),
}

/// One tensor's bytes in the file. Shapes are outermost first: a matrix is `(outputs, inputs)`.
pub(crate) struct RawTensor<'a> {
    pub(crate) name: String,
    pub(crate) bytes: &'a [u8],
    pub(crate) format: GgmlDType,
    pub(crate) shape: Vec<usize>,
    /// Where the bytes are, for tensors that are read from the file while the model runs.
    pub(crate) mapping: &'a Arc<Mapping>,
    pub(crate) offset: usize,
}

impl Checkpoint {
    /// Opens a GGUF file, or a folder with `config.json`, `*.safetensors` and `tokenizer.json`.
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let metadata = fs::metadata(path).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        })?;
        let checkpoint = if metadata.is_dir() {
            safetensors::open(path)?
        } else {
            gguf::open(path)?
        };
        checkpoint.refuse_unknown_biases()?;
        Ok(checkpoint)
    }

    /// A bias that the decoder would not add makes every number wrong without a sign of it.
    fn refuse_unknown_biases(&self) -> Result<(), CheckpointError> {
        let parts = [Part::QueryBias, Part::KeyBias, Part::ValueBias];
        let known: HashSet<String> = (0..self.architecture.layers)
            .flat_map(|layer| parts.map(|part| self.name_of(part, layer)))
            .collect();
        let mut names: Box<dyn Iterator<Item = &String>> = match &self.weights {
            Weights::Gguf(gguf) => Box::new(gguf.names()),
            Weights::Safetensors(files) => Box::new(files.names()),
        };
        match names.find(|name| name.rsplit('.').next() == Some("bias") && !known.contains(*name)) {
            Some(name) => Err(CheckpointError::Weight {
                name: name.to_owned(),
                reason: "is a bias that this architecture does not have".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// A weight that must be there.
    pub(crate) fn weight(
        &self,
        part: Part,
        layer: usize,
    ) -> Result<RawTensor<'_>, CheckpointError> {
        self.optional(part, layer)?
            .ok_or_else(|| CheckpointError::missing(&self.name_of(part, layer)))
    }

    /// A weight that a model may or may not have.
    pub(crate) fn optional(
        &self,
        part: Part,
        layer: usize,
    ) -> Result<Option<RawTensor<'_>>, CheckpointError> {
        let name = self.name_of(part, layer);
        match &self.weights {
            Weights::Gguf(gguf) => gguf.tensor(&name),
            Weights::Safetensors(files) => Ok(files.tensor(&name)),
        }
    }

    /// Gives back the memory of the pages that loading has read.
    pub(crate) fn release(&self) {
        match &self.weights {
            Weights::Gguf(gguf) => gguf.release(),
            Weights::Safetensors(files) => files.release(),
        }
    }

    /// Elements by format, largest share first.
    pub(crate) fn formats(&self) -> Vec<(GgmlDType, u64)> {
        let mut formats: Vec<(GgmlDType, u64)> = Vec::new();
        let mut add = |format: GgmlDType, elements: u64| match formats
            .iter_mut()
            .find(|(known, _)| *known == format)
        {
            Some((_, count)) => *count += elements,
            None => formats.push((format, elements)),
        };
        match &self.weights {
            Weights::Gguf(gguf) => gguf.formats(&mut add),
            Weights::Safetensors(files) => files.formats(&mut add),
        }
        formats.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        formats
    }

    /// Whether query and key rows come in the interleaved order of rotary pairs that GGUF's llama uses.
    pub(crate) fn interleaved_rotary(&self) -> bool {
        matches!(self.weights, Weights::Gguf(_)) && self.architecture.kind.is_llama()
    }

    fn name_of(&self, part: Part, layer: usize) -> String {
        match &self.weights {
            Weights::Gguf(_) => part.gguf(layer),
            Weights::Safetensors(_) => part.hugging_face(layer, self.architecture.kind),
        }
    }
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
