//! Options of an engine.

use super::error::LoadError;

/// Device of the model.
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

/// Options of an engine. Every limit is at least 1, except `prefix_cache`.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Compute threads, the model's own thread included.
    pub threads: usize,
    /// Most sessions that are open at once.
    pub max_sessions: usize,
    /// Most commands that wait for the model's thread.
    pub queue: usize,
    /// Most rows of one forward pass; longer prompts are computed in several.
    pub max_batch_rows: usize,
    /// Most positions of a session; the model's own context length limits it too. `None`: that, as far as memory for all sessions
    /// reaches.
    pub context: Option<usize>,
    /// Size of the prefix cache: keys and values of earlier prompts, in bytes; 0 keeps none. The time that a prompt takes then
    /// reveals to its caller whether another caller's prompt had the same prefix.
    pub prefix_cache: u64,
    /// Device of the model.
    pub device: DeviceChoice,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            max_sessions: 32,
            queue: 64,
            max_batch_rows: 128,
            context: None,
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
            ("context", self.context.unwrap_or(1), 1 << 24),
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
