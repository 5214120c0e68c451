//! One command on its way through the model, and how it ends.

use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::schedule::Step;
use super::{EngineError, Logits, Passed};

/// One session's tokens on their way through the model.
pub(super) struct Work {
    pub(super) session: u64,
    pub(super) alive: Weak<()>,
    /// Positions to keep before the tokens are appended.
    pub(super) keep: usize,
    pub(super) tokens: Vec<u32>,
    pub(super) rows: usize,
    pub(super) reader: Box<dyn Reader>,
    pub(super) arrived: Instant,
    pub(super) progress: Progress,
}

/// How far a command has come.
#[derive(Clone, Copy, Default)]
pub(super) struct Progress {
    /// Tokens that are in the cache.
    pub(super) done: usize,
    /// Of those, taken over from earlier prompts.
    pub(super) reused: usize,
    /// Passes since the thread took it up.
    pub(super) passes: u32,
    /// Of those, the last ones that it was left out of.
    pub(super) passed_over: u32,
    /// When its first pass began.
    pub(super) began: Option<Instant>,
    /// Time in passes that it had rows in.
    pub(super) compute: Duration,
}

/// What a pass took.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    pub(super) compute: Duration,
    pub(super) batch_rows: usize,
    pub(super) batch_sessions: usize,
}

impl Work {
    /// Tokens that are not in the cache yet.
    pub(super) fn left(&self) -> usize {
        self.tokens.len() - self.progress.done
    }

    /// Positions of the session that nobody will judge any more, once the tokens up to `done` are in the cache.
    pub(super) fn certain(&self) -> usize {
        self.keep + self.progress.done.min(self.tokens.len() - self.rows)
    }

    /// Notes that it is about to have rows.
    pub(super) fn begin(&mut self) {
        self.progress.began.get_or_insert_with(Instant::now);
    }

    /// Notes a pass.
    pub(super) fn advance(&mut self, step: Step, cost: Cost) {
        let progress = &mut self.progress;
        progress.passes += 1;
        progress.done += step.tokens;
        if step.tokens > 0 {
            progress.passed_over = 0;
            progress.compute += cost.compute;
        } else {
            progress.passed_over += 1;
        }
    }

    /// Gives the caller the logits of the last pass.
    pub(super) fn answer(&mut self, logits: Logits<'_>, last: Cost) {
        let began = self.progress.began.unwrap_or(self.arrived);
        let passed = Passed {
            value: (),
            queued: began - self.arrived,
            compute: self.progress.compute,
            passes: self.progress.passes,
            reused: self.progress.reused,
            batch_rows: last.batch_rows,
            batch_sessions: last.batch_sessions,
        };
        self.reader.read(logits, passed);
    }
}

/// Reads logits and answers the caller; one method for each way a command can end.
pub(super) trait Reader: Send {
    /// Whether nobody waits any more.
    fn is_abandoned(&self) -> bool;
    fn read(&mut self, logits: Logits<'_>, passed: Passed<()>);
    fn fail(&mut self, error: EngineError);
}

/// A caller's closure with the channel for its result.
pub(super) struct Reading<F, R> {
    pub(super) read: Option<F>,
    pub(super) reply: Option<oneshot::Sender<Result<Passed<R>, EngineError>>>,
}

impl<R: Send, F: FnOnce(Logits<'_>) -> R + Send> Reader for Reading<F, R> {
    fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn read(&mut self, logits: Logits<'_>, passed: Passed<()>) {
        let (Some(read), Some(reply)) = (self.read.take(), self.reply.take()) else {
            return;
        };
        let value = read(logits);
        // A caller who left in the meantime needs no answer.
        let _ = reply.send(Ok(passed.with(value)));
    }

    fn fail(&mut self, error: EngineError) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(error));
        }
    }
}
