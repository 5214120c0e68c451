//! Model of an engine's thread: a decoder, or a simulation in its place.

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use tokenizer::Tokenizer;
use tokenizer::template::ChatTemplate;

use super::error::LoadError;
use super::model_info::{self, ModelInfo};
use super::options::{DeviceChoice, EngineOptions};
use super::simulated::{Profile, Simulation};
use crate::checkpoint::{Architecture, Checkpoint, CheckpointError};
use crate::decoder::{Decoder, Sequence};

/// A model that is loaded.
pub(super) enum Model {
    Decoder(Box<Decoder>),
    /// Only waits.
    Simulated(Box<Simulation>),
}

/// Description of a loaded model.
pub(super) type About = (ModelInfo, Arc<Tokenizer>, Option<ChatTemplate>);

impl Model {
    /// Loads the checkpoint at `path`, or a simulation where that is a profile.
    pub(super) fn load(path: &Path, options: &EngineOptions) -> Result<(Self, About), LoadError> {
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            return Self::simulate(path, options);
        }
        let device = device(options.device)?;
        let checkpoint = Checkpoint::open(path)?;
        let decoder = Box::new(Decoder::load(&checkpoint, &device)?);
        let info = model_info::describe(&checkpoint, options, &device);
        let description = checkpoint.description;
        let about = (info, description.tokenizer, description.template);
        Ok((Self::Decoder(decoder), about))
    }

    fn simulate(path: &Path, options: &EngineOptions) -> Result<(Self, About), LoadError> {
        let profile = Profile::read(path).map_err(|source| LoadError::Profile {
            path: path.to_owned(),
            source,
        })?;
        let tokenizer = Tokenizer::of_bytes().map_err(CheckpointError::from)?;
        let info = model_info::simulated(&profile, options, tokenizer.vocab_size());
        let simulation = Simulation::new(profile, tokenizer.vocab_size());
        let about = (info, Arc::new(tokenizer), None);
        Ok((Self::Simulated(Box::new(simulation)), about))
    }

    pub(super) fn architecture(&self) -> &Architecture {
        match self {
            Self::Decoder(decoder) => decoder.architecture(),
            Self::Simulated(simulation) => simulation.architecture(),
        }
    }

    /// Runs all sequences in one pass; see [`Decoder::forward`].
    pub(super) fn forward(
        &self,
        sequences: &mut [Sequence],
    ) -> candle_core::Result<Option<Tensor>> {
        match self {
            Self::Decoder(decoder) => decoder.forward(sequences),
            Self::Simulated(simulation) => simulation.forward(sequences),
        }
    }
}

fn device(choice: DeviceChoice) -> Result<Device, LoadError> {
    let device = match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(ordinal) => Device::new_cuda(ordinal),
        DeviceChoice::Metal(ordinal) => Device::new_metal(ordinal),
    };
    device.map_err(|error| LoadError::Device(format!("{choice:?} cannot be opened: {error}")))
}
