//! Results of a pass: logits while they are read, and the cost.

use std::time::Duration;

/// The logits that a pass gave a session, valid while they are read.
pub struct Logits<'a> {
    pub(super) values: &'a [f32],
    pub(super) vocab_size: usize,
}

impl Logits<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.vocab_size
    }

    /// The logits after the `index`-th of the wanted tokens, `(vocab_size)`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.vocab_size..][..self.vocab_size]
    }
}

/// Result of a pass and its cost.
#[derive(Clone, Copy, Debug)]
pub struct Passed<R> {
    /// Value that the reader made of the logits.
    pub value: R,
    /// Time until the first pass with rows of this command began.
    pub queued: Duration,
    /// Time in passes with rows of it, those of other sessions included.
    pub compute: Duration,
    /// Number of passes since the model's thread took the command up, those without rows of it included.
    pub passes: u32,
    /// Tokens that were copied from the prefix cache instead of computed.
    pub reused: usize,
    /// Rows of the last pass, over all sessions.
    pub batch_rows: usize,
    /// Sessions in the last pass.
    pub batch_sessions: usize,
}

impl<R> Passed<R> {
    /// Value and cost apart.
    pub fn split(self) -> (R, Passed<()>) {
        self.replace(())
    }

    /// The value, and the same with another one.
    fn replace<S>(self, new: S) -> (R, Passed<S>) {
        let Self {
            value,
            queued,
            compute,
            passes,
            reused,
            batch_rows,
            batch_sessions,
        } = self;
        let passed = Passed {
            value: new,
            queued,
            compute,
            passes,
            reused,
            batch_rows,
            batch_sessions,
        };
        (value, passed)
    }
}

impl Passed<()> {
    /// The same with a value.
    pub fn with<R>(self, value: R) -> Passed<R> {
        self.replace(value).1
    }
}
