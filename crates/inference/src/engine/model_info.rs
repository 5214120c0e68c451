//! Facts about a loaded model, for logs and `Describe`.

use candle_core::Device;
use kernels::{Conversion, kernels};

use super::context;
use super::options::EngineOptions;
use super::simulated::Profile;
use crate::checkpoint::{Checkpoint, SuggestedSampling};

/// Facts about a loaded model.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// The name that the checkpoint gives itself.
    pub name: String,
    /// `llama`, `mistral`, `qwen2`, `qwen3` or `gemma3`.
    pub architecture: String,
    /// Number of weights.
    pub parameters: u64,
    /// Positions that a session may hold.
    pub context_length: usize,
    /// Number of ids that the model gives logits for.
    pub vocab_size: usize,
    /// Weight formats in the file with their share of the weights, largest first.
    pub quantisation: String,
    /// Formats that were converted at load, each with its target and exactness.
    pub requantised: Vec<String>,
    /// The kernels that compute products: `avx512-vnni`, `avx2`, `portable`, `cuda` or `metal`.
    pub kernels: String,
    /// True if a row's logits are bit-identical in every batch.
    pub batch_invariant: bool,
    /// Size of the checkpoint's weight files, in bytes.
    pub file_bytes: u64,
    /// Compute threads.
    pub threads: usize,
    /// Sampling that its authors suggest.
    pub suggested: SuggestedSampling,
}

pub(super) fn describe(
    checkpoint: &Checkpoint,
    options: &EngineOptions,
    device: &Device,
) -> ModelInfo {
    let formats = checkpoint.formats();
    let parameters: u64 = formats.iter().map(|(_, count)| count).sum();
    let share = |count: u64| 100.0 * count as f64 / parameters.max(1) as f64;
    let quantisation: Vec<String> = formats
        .iter()
        .filter(|(_, count)| share(*count) >= 0.1)
        .map(|(format, count)| format!("{format:?} {:.1} %", share(*count)))
        .collect();
    let requantised = formats
        .iter()
        .filter_map(|(format, _)| match Conversion::of(*format) {
            Conversion::None => None,
            Conversion::Exact { to } => Some(format!("{format:?} to {to}, exactly")),
            Conversion::Rounded => Some(format!("{format:?} to Q8_0, rounded to eight bits")),
        });
    let on_cpu = device.is_cpu();
    let a = checkpoint.architecture();
    ModelInfo {
        name: checkpoint.description.name.clone(),
        architecture: a.kind.name().to_owned(),
        parameters,
        context_length: context::length(a, options),
        vocab_size: a.vocab_size,
        quantisation: quantisation.join(", "),
        requantised: if on_cpu {
            requantised.collect()
        } else {
            Vec::new()
        },
        kernels: if on_cpu {
            kernels().to_owned()
        } else {
            format!("{:?}", options.device)
        },
        batch_invariant: on_cpu,
        file_bytes: checkpoint.description.file_bytes,
        threads: options.threads,
        suggested: checkpoint.description.suggested,
    }
}

/// Facts about a simulated model, which say so in every field that is shown.
pub(super) fn simulated(
    profile: &Profile,
    options: &EngineOptions,
    vocab_size: usize,
) -> ModelInfo {
    ModelInfo {
        name: format!("simulated: {}", profile.name),
        architecture: "simulated".to_owned(),
        parameters: 0,
        context_length: profile.context.min(options.context.unwrap_or(usize::MAX)),
        vocab_size,
        quantisation: "none: simulated".to_owned(),
        requantised: Vec::new(),
        kernels: "none: simulated, waits".to_owned(),
        batch_invariant: true,
        file_bytes: 0,
        threads: options.threads,
        suggested: SuggestedSampling::default(),
    }
}

impl ModelInfo {
    /// Logs the loaded model and the name under which it is served.
    pub fn log(&self, served_as: &str) {
        tracing::info!(
            model = served_as,
            architecture = self.architecture,
            parameters = self.parameters,
            quantisation = self.quantisation,
            requantised = ?self.requantised,
            kernels = self.kernels,
            context = self.context_length,
            threads = self.threads,
            "model is loaded"
        );
    }
}
