//! What a loaded model says about itself, in logs and in `Describe`.

use candle_core::Device;

use crate::checkpoint::Checkpoint;
use crate::decoder::Profile;
use crate::engine::{EngineOptions, ModelInfo};
use kernels::{Conversion, kernels};

pub(crate) fn describe(
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
    let a = &checkpoint.architecture;
    ModelInfo {
        name: checkpoint.name.clone(),
        architecture: a.kind.name().to_owned(),
        parameters,
        context_length: a.context_length.min(options.context),
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
        file_bytes: checkpoint.file_bytes,
        threads: options.threads,
    }
}

/// The same for a model that only waits, so that nobody takes it for anything else.
pub(crate) fn simulated(
    profile: &Profile,
    options: &EngineOptions,
    vocab_size: usize,
) -> ModelInfo {
    ModelInfo {
        name: format!("simulated: {}", profile.name),
        architecture: "simulated".to_owned(),
        parameters: 0,
        context_length: profile.context.min(options.context),
        vocab_size,
        quantisation: "none: simulated".to_owned(),
        requantised: Vec::new(),
        kernels: "none: simulated, waits".to_owned(),
        batch_invariant: true,
        file_bytes: 0,
        threads: options.threads,
    }
}

impl ModelInfo {
    /// Says in the log what was loaded, and by which name it is served.
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
