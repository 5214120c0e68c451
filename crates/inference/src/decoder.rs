//! One decoder for every architecture, weight format and device.
//!
//! A pass takes a ragged batch: each session brings its own number of new tokens, and the weights are read once for all of
//! them. Everything but attention works on the rows of all sessions together; attention works session by session. On the CPU
//! a row's logits do not depend on its batch by a single bit (see `kernels`).

mod cache;
mod embedding;
mod layer;
mod linear;
mod loader;
mod rotary;
mod sequence;

use candle_core::{Device, Result, Tensor};
use candle_nn::ops::rms_norm;

pub(crate) use cache::{Cache, Positions};
use embedding::Embedding;
use layer::Layer;
use linear::{Inputs, Linear};
use loader::Loader;
use rotary::{Angles, Frequencies};
pub(crate) use sequence::Sequence;

use crate::checkpoint::{Architecture, Rotary, RotaryScaling};
use crate::checkpoint::{Checkpoint, CheckpointError, Part};

/// The weights and how to run them.
pub(crate) struct Decoder {
    architecture: Architecture,
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: Tensor,
    output: Linear,
    global: Frequencies,
    local: Option<Frequencies>,
    device: Device,
}

impl Decoder {
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> std::result::Result<Self, CheckpointError> {
        let mut architecture = checkpoint.architecture().clone();
        let loader = Loader { checkpoint, device };
        if let Some(factors) = loader.rope_factors()? {
            architecture.rotary.scaling = RotaryScaling::Factors(factors);
        }
        let embedding = checkpoint.weight(Part::Embedding, 0)?;
        embedding.expect(&[architecture.vocab_size, architecture.hidden])?;
        let head_dim = architecture.head_dim;
        let local = architecture.window.as_ref().map(|window| {
            let rotary = Rotary {
                base: window.base,
                scaling: RotaryScaling::None,
            };
            Frequencies::new(&rotary, head_dim)
        });
        // The largest matrix first, and then one layer at a time: memory peaks while both the file's pages and the packed weights
        // are resident.
        let output = loader.output()?;
        checkpoint.release();
        let mut layers = Vec::with_capacity(architecture.layers);
        for index in 0..architecture.layers {
            layers.push(Layer::load(&loader, index)?);
            checkpoint.release();
        }
        Ok(Self {
            embedding: Embedding::new(&embedding, architecture.embedding_scale)?,
            layers,
            norm: loader.norm(Part::OutputNorm, 0, architecture.hidden)?,
            output,
            global: Frequencies::new(&architecture.rotary, head_dim),
            local,
            device: device.clone(),
            architecture,
        })
    }

    pub(crate) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Runs all sequences in one pass. Returns `(sum of rows, vocab_size)` logits in the order of the sequences, or none
    /// if no row was wanted. On an error no cache has grown.
    pub(crate) fn forward(&self, sequences: &mut [Sequence]) -> Result<Option<Tensor>> {
        let tokens: Vec<u32> = sequences.iter().flat_map(|s| s.tokens).copied().collect();
        let positions: Vec<usize> = sequences.iter().flat_map(Sequence::positions).collect();
        let angles = Angles {
            global: self.global.at(&positions, &self.device)?,
            local: self
                .local
                .as_ref()
                .map(|f| f.at(&positions, &self.device))
                .transpose()?,
        };
        let mut x = self.embedding.forward(&tokens, &self.device)?; // (rows, hidden)
        for layer in &self.layers {
            x = layer.forward(&x, &angles, sequences)?;
        }
        let wanted = wanted_rows(sequences);
        for sequence in sequences.iter_mut() {
            sequence.cache.advance(sequence.tokens.len());
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        if wanted.len() < tokens.len() {
            let count = wanted.len();
            x = x.index_select(&Tensor::from_vec(wanted, count, &self.device)?, 0)?;
        }
        let x = rms_norm(&x, &self.norm, self.architecture.norm_epsilon)?;
        self.output.forward(&Inputs::new(&x)).map(Some) // (wanted, vocab_size)
    }
}

/// Which rows of the pass need logits.
fn wanted_rows(sequences: &[Sequence]) -> Vec<u32> {
    let mut start = 0;
    let mut wanted = Vec::new();
    for sequence in sequences {
        let end = start + sequence.tokens.len();
        wanted.extend((end - sequence.rows.min(sequence.tokens.len())..end).map(|row| row as u32));
        start = end;
    }
    wanted
}
