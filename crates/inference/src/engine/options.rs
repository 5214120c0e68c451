//! Options of an engine.

use super::error::LoadError;

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor, with batch-invariant kernels.
    #[default]
    Cpu,
    /// An NVIDIA card, by number; needs the feature `cuda`.
    Cuda(usize),
    /// An Apple GPU, by number; needs the feature `metal`.
    Metal(usize),
}

/// How an engine runs. Every limit is at least 1, but for `prefix_cache`.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Compute threads, the model's own thread included.
    pub threads: usize,
    /// Sessions that may be open at once.
    pub max_sessions: usize,
    /// Commands that may wait for the model's thread.
    pub queue: usize,
    /// Rows of one forward pass; longer prompts are computed in several.
    pub max_batch_rows: usize,
    /// Positions that a session may hold; the model's own context length where that is smaller.
    pub context: usize,
    /// Bytes of keys and values that are kept of earlier prompts, for prompts that begin alike; 0 keeps none. How long a prompt
    /// takes then tells its caller whether another caller's prompt began alike.
    pub prefix_cache: u64,
    /// Where the model runs.
    pub device: DeviceChoice,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            max_sessions: 32,
            queue: 64,
            max_batch_rows: 128,
            context: 8192,
            prefix_cache: 0,
            device: DeviceChoice::Cpu,
        }
    }
}

impl EngineOptions {
    /// Refuses options that are 0 or larger than any machine has use for.
    pub(super) fn validate(&self) -> Result<(), LoadError> {
        let fields = [
            ("threads", self.threads, 1024),
            ("max_sessions", self.max_sessions, 1 << 20),
            ("queue", self.queue, 1 << 20),
            ("max_batch_rows", self.max_batch_rows, 1 << 16),
            ("context", self.context, 1 << 24),
        ];
        for (field, value, limit) in fields {
            if value == 0 || value > limit {
                return Err(LoadError::Option {
                    field,
                    value,
                    range: "at least 1 and not absurd",
                });
            }
        }
        Ok(())
    }
}
