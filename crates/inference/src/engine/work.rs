//! One command on its way through the model, and how it ends.

use std::sync::Weak;
use std::time::{Duration, Instant};

use kernels::Tree;
use tokio::sync::oneshot;

use super::error::EngineError;
use super::passed::{Logits, Passed};
use super::schedule::Step;

/// Request of a handle to the model's thread.
pub(super) enum Command {
    Forward(Box<Work>),
    /// Look for sessions that are gone.
    Sweep,
}

/// One session's tokens on their way through the model.
pub(super) struct Work {
    pub(super) session: u64,
    pub(super) alive: Weak<()>,
    /// Positions to keep before the tokens are appended.
    pub(super) keep: usize,
    /// Places of the last of these in the cache, where they differ.
    pub(super) moved: Vec<usize>,
    pub(super) tokens: Vec<u32>,
    pub(super) rows: usize,
    /// Paths of the tokens through a tree; `None`: a chain. All tokens of a tree have rows of logits, so they share a pass.
    pub(super) tree: Option<Tree>,
    pub(super) reader: Box<dyn Reader>,
    pub(super) arrived: Instant,
    pub(super) progress: Progress,
}

/// Progress of a command.
#[derive(Clone, Copy, Default)]
pub(super) struct Progress {
    /// Tokens that are in the cache.
    pub(super) done: usize,
    /// Of those, tokens copied from the prefix cache.
    pub(super) reused: usize,
    /// Passes since the thread took the command up.
    pub(super) passes: u32,
    /// Number of the last passes in a row without rows of it.
    pub(super) passed_over: u32,
    /// Start of its first pass.
    pub(super) began: Option<Instant>,
    /// Time in passes that it had rows in.
    pub(super) compute: Duration,
}

/// Cost of a pass.
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

    /// Number of positions of the session that no verification can reject any more, once the tokens up to `done` are in the cache.
    pub(super) fn certain(&self) -> usize {
        let held = self.tree.as_ref().map_or(0, Tree::held);
        self.keep - held + self.progress.done.min(self.tokens.len() - self.rows)
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

    /// Shows the caller the logits of the last pass and returns the tokens to keep. The caller is answered after that.
    pub(super) fn show(&mut self, logits: Logits<'_>, last: Cost) -> Kept {
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
        self.reader.read(logits, passed)
    }
}

/// Tokens of a command that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    All,
    /// Rows of a path.
    Path(Vec<usize>),
}

/// Reads logits and answers the caller.
pub(super) trait Reader: Send {
    /// True if nobody waits any more.
    fn is_abandoned(&self) -> bool;
    /// Reads the logits and returns the tokens to keep.
    fn read(&mut self, logits: Logits<'_>, passed: Passed<()>) -> Kept;
    /// Answers with the value that was read.
    fn succeed(&mut self);
    fn fail(&mut self, error: EngineError);
}

/// Answer to a caller: the value that it read, and the tokens that are kept.
pub(super) type Answer<R> = Result<(Passed<R>, Kept), EngineError>;

/// A caller's closure with the channel for its result.
pub(super) struct Reading<F, R> {
    read: Option<F>,
    outcome: Option<(Passed<R>, Kept)>,
    reply: Option<oneshot::Sender<Answer<R>>>,
}

impl<F, R> Reading<F, R> {
    pub(super) fn new(read: F, reply: oneshot::Sender<Answer<R>>) -> Self {
        Self {
            read: Some(read),
            outcome: None,
            reply: Some(reply),
        }
    }
}

impl<R: Send, F: FnOnce(Logits<'_>) -> (R, Kept) + Send> Reader for Reading<F, R> {
    fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn read(&mut self, logits: Logits<'_>, passed: Passed<()>) -> Kept {
        let Some(read) = self.read.take() else {
            return Kept::All;
        };
        let (value, kept) = read(logits);
        self.outcome = Some((passed.with(value), kept.clone()));
        kept
    }

    fn succeed(&mut self) {
        if let (Some(outcome), Some(reply)) = (self.outcome.take(), self.reply.take()) {
            // A caller who left in the meantime needs no answer.
            let _ = reply.send(Ok(outcome));
        }
    }

    fn fail(&mut self, error: EngineError) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Err(error));
        }
    }
}
