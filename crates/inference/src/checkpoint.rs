//! Checkpoints: one view of a model's configuration and weights, whichever kind of file they come from.

mod architecture;
mod description;
mod error;
mod gguf;
mod mapping;
mod metadata;
mod names;
mod safetensors;
mod suggested;
mod tensor;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use candle_core::quantized::GgmlDType;
use tokenizer::Tokenizer;

pub(crate) use self::architecture::{Architecture, ModelFamily, Rotary, RotaryScaling};
pub(crate) use self::description::Description;
pub use self::error::CheckpointError;
use self::gguf::Gguf;
pub(crate) use self::mapping::Mapping;
pub(crate) use self::names::Part;
use self::safetensors::Safetensors;
pub use self::suggested::SuggestedSampling;
pub(crate) use self::tensor::RawTensor;

/// The tokenizer of a model whose weights are left where they are.
#[derive(Debug)]
pub struct BareTokenizer {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// True if weights are there too, so that the model could be loaded.
    pub has_weights: bool,
}

impl BareTokenizer {
    /// Reads the tokenizer of a GGUF file, of a folder that [`crate::engine::Engine::load`] takes, or a bare `tokenizer.json`
    /// under any name, as `store` keeps them.
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
    pub(crate) description: Description,
    weights: Weights,
}

enum Weights {
    Gguf(Gguf),
    Safetensors(Safetensors),
}

impl Checkpoint {
    /// Opens a GGUF file, or a folder with `config.json`, `*.safetensors` and `tokenizer.json`.
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let metadata = fs::metadata(path).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        })?;
        let (description, weights) = if metadata.is_dir() {
            let (description, files) = safetensors::open(path)?;
            (description, Weights::Safetensors(files))
        } else {
            let (description, file) = gguf::open(path)?;
            (description, Weights::Gguf(file))
        };
        let checkpoint = Self {
            description,
            weights,
        };
        checkpoint.refuse_unknown_biases()?;
        Ok(checkpoint)
    }

    /// A bias that the decoder would not add makes every number wrong without a sign of it.
    fn refuse_unknown_biases(&self) -> Result<(), CheckpointError> {
        let parts = [Part::QueryBias, Part::KeyBias, Part::ValueBias];
        let known: HashSet<String> = (0..self.architecture().layers)
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

    pub(crate) fn architecture(&self) -> &Architecture {
        &self.description.architecture
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

    /// True if query and key rows come in the interleaved order of rotary pairs that GGUF's llama uses.
    pub(crate) fn interleaved_rotary(&self) -> bool {
        matches!(self.weights, Weights::Gguf(_)) && self.architecture().kind.is_llama()
    }

    fn name_of(&self, part: Part, layer: usize) -> String {
        match &self.weights {
            Weights::Gguf(_) => part.gguf(layer),
            Weights::Safetensors(_) => part.hugging_face(layer, self.architecture().kind),
        }
    }
}
