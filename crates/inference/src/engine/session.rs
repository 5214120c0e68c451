//! One sequence of positions in a model's cache, and what a pass gives it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kernels::Tree;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::error::EngineError;
use super::passed::{Logits, Passed};
use super::shared::Shared;
use super::work::{Command, Kept, Progress, Reading, Work};

/// Longest wait for a place in a full queue. Several passes of the slowest models take less.
const QUEUE_WAIT: Duration = Duration::from_secs(30);

/// One sequence of positions in the model's cache. Dropping it frees them.
pub struct Session {
    shared: Arc<Shared>,
    id: u64,
    /// Number of positions; the thread's cache may hold more, since it hears of a truncation only with the next command.
    len: usize,
    /// Places of the last of them in that cache.
    moved: Vec<usize>,
    /// Longest wait for a place in the queue.
    queue_wait: Duration,
    /// The thread frees the cache when this is gone.
    alive: Arc<()>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, id: u64) -> Self {
        Self {
            shared,
            id,
            len: 0,
            moved: Vec::new(),
            queue_wait: QUEUE_WAIT,
            alive: Arc::new(()),
        }
    }

    /// Same session with another longest wait for a place in a full queue, 30 s at first. At 0 a full queue refuses at once.
    #[must_use]
    pub fn with_queue_wait(mut self, wait: Duration) -> Self {
        self.queue_wait = wait;
        self
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sessions that are open on this engine, itself included.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.load(Ordering::Relaxed)
    }

    /// True if no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the positions from `len` on; costs nothing.
    pub fn truncate(&mut self, len: usize) {
        let unmoved = self.len - self.moved.len();
        self.len = self.len.min(len);
        self.moved.truncate(self.len.saturating_sub(unmoved));
    }

    /// Forgets the positions from `len` on, except `path`, ascending, which then follow position `len - 1`. They must be a path
    /// through the tree that [`Self::forward_branches`] has made of them. Costs nothing now, and a copy of moved positions later.
    ///
    /// # Panics
    /// If `path` is not ascending, or not of positions held from `len` on.
    pub fn keep_path(&mut self, len: usize, path: &[usize]) {
        let held = len..self.len;
        let ascends = path.is_sorted_by(|one, next| one < next);
        assert!(
            ascends && path.iter().all(|at| held.contains(at)),
            "{path:?} in {held:?}"
        );
        let unmoved = self.len - self.moved.len();
        let place = |at: &usize| {
            let moved = at.checked_sub(unmoved).map(|index| self.moved[index]);
            moved.unwrap_or(*at)
        };
        let kept = self.moved.len().min(len.saturating_sub(unmoved));
        let mut moved = self.moved[..kept].to_vec();
        moved.extend(path.iter().map(place));
        self.moved = moved;
        self.len = len.min(self.len) + path.len();
    }

    /// Appends `tokens` in one batched pass with whoever else is ready, then runs `read` on the model's thread with the
    /// logits after each of the last `rows` tokens.
    ///
    /// A full queue is awaited, first come first served, for 30 s or what [`Self::with_queue_wait`] says; then the error is
    /// [`EngineError::Full`]. Waiting needs a tokio runtime with its clock enabled.
    ///
    /// When the returned future is dropped before the pass has begun, the command is skipped; if it has begun, the positions
    /// are forgotten. Either way the session stays usable at its old length.
    pub async fn forward<R: Send + 'static>(
        &mut self,
        tokens: Vec<u32>,
        rows: usize,
        read: impl FnOnce(Logits<'_>) -> R + Send + 'static,
    ) -> Result<Passed<R>, EngineError> {
        let read = move |logits: Logits<'_>| (read(logits), Kept::All);
        self.submit((tokens, rows), None, read).await
    }

    /// Like [`Self::forward`] for tokens that are a candidate tree: `parents` has 0 for a token that follows the positions held, n for one
    /// that follows token n-1, so n is at most its own index; empty: a chain. A token's logits are those that it would have
    /// after the tokens on its path alone, bit for bit if [`super::ModelInfo::batch_invariant`]. All of them share a pass
    /// and are read; `read` returns the rows to keep, a path, perhaps empty, from the positions held on: the session then
    /// holds these positions more.
    pub async fn forward_tree<R: Send + 'static>(
        &mut self,
        tokens: Vec<u32>,
        parents: &[u32],
        read: impl FnOnce(Logits<'_>) -> (R, Vec<usize>) + Send + 'static,
    ) -> Result<Passed<R>, EngineError> {
        let rows = tokens.len();
        // Before anything is made of them.
        self.check(&tokens, rows)?;
        let tree = match parents {
            [] => None,
            parents if parents.len() == rows => Some(Tree::new(parents, 0)),
            parents => Some(Err(parents.len().min(rows))),
        };
        let tree = tree.transpose();
        let tree = tree.map_err(|token| EngineError::Tree {
            token,
            tokens: rows,
        })?;
        let read = move |logits: Logits<'_>| {
            let (value, path) = read(logits);
            (value, Kept::Path(path))
        };
        self.submit((tokens, rows), tree, read).await
    }

    /// Like [`Self::forward`] for tokens that follow different ones of the last positions, which are then a tree that grows pass by
    /// pass. `parents` has an entry for each of these positions and then one for each token: 0 for one that follows the positions
    /// before the tree, n for one that follows the tree's n-th token. All are kept; [`Self::keep_path`] keeps one path of them.
    pub async fn forward_branches<R: Send + 'static>(
        &mut self,
        tokens: Vec<u32>,
        parents: &[u32],
        read: impl FnOnce(Logits<'_>) -> R + Send + 'static,
    ) -> Result<Passed<R>, EngineError> {
        let rows = tokens.len();
        self.check(&tokens, rows)?;
        let held = parents.len().checked_sub(rows);
        let held = held.filter(|held| *held <= self.len);
        let tree = held.map_or(Err(parents.len().min(rows)), |held| {
            Tree::new(parents, held)
        });
        let tree = tree.map_err(|token| EngineError::Tree {
            token,
            tokens: rows,
        })?;
        let read = move |logits: Logits<'_>| (read(logits), Kept::All);
        self.submit((tokens, rows), Some(tree), read).await
    }

    /// Most tokens of the next pass, by the rows of a pass and the positions left.
    pub fn room(&self) -> usize {
        let left = self.shared.info.context_length - self.len;
        left.min(self.shared.max_batch_rows)
    }

    async fn submit<R: Send + 'static>(
        &mut self,
        (tokens, rows): (Vec<u32>, usize),
        tree: Option<Tree>,
        read: impl FnOnce(Logits<'_>) -> (R, Kept) + Send + 'static,
    ) -> Result<Passed<R>, EngineError> {
        self.check(&tokens, rows)?;
        let arrived = Instant::now();
        let place = self.place_in_queue().await?;
        let added = tokens.len();
        let (reply, answer) = oneshot::channel();
        let work = Work {
            session: self.id,
            alive: Arc::downgrade(&self.alive),
            keep: self.len,
            moved: self.moved.clone(),
            tokens,
            rows,
            tree,
            reader: Box::new(Reading::new(read, reply)),
            arrived,
            progress: Progress::default(),
        };
        place.send(Command::Forward(Box::new(work)));
        // The command is carried out before the session's next one even if nobody waits for the answer.
        self.moved.clear();
        let (passed, kept) = answer.await.map_err(|_| EngineError::Stopped)??;
        self.len += match kept {
            Kept::All => added,
            Kept::Path(path) => path.len(),
        };
        Ok(passed)
    }

    /// Place in the queue of the model's thread. Callers get theirs in the order in which they began to wait.
    async fn place_in_queue(&self) -> Result<mpsc::Permit<'_, Command>, EngineError> {
        let commands = &self.shared.commands;
        let full = EngineError::Full {
            what: "queued commands",
            limit: commands.max_capacity(),
        };
        match commands.try_reserve() {
            Ok(place) => Ok(place),
            Err(mpsc::error::TrySendError::Closed(())) => Err(EngineError::Stopped),
            Err(mpsc::error::TrySendError::Full(())) if self.queue_wait.is_zero() => Err(full),
            Err(mpsc::error::TrySendError::Full(())) => {
                match timeout(self.queue_wait, commands.reserve()).await {
                    Ok(place) => place.map_err(|_| EngineError::Stopped),
                    Err(_) => Err(full),
                }
            }
        }
    }

    fn check(&self, tokens: &[u32], rows: usize) -> Result<(), EngineError> {
        let info = &self.shared.info;
        let limit = tokens.len().min(self.shared.max_batch_rows);
        if tokens.is_empty() || rows > limit {
            return Err(EngineError::Rows {
                tokens: tokens.len(),
                rows,
                limit,
            });
        }
        if let Some(&token) = tokens
            .iter()
            .find(|&&token| token as usize >= info.vocab_size)
        {
            return Err(EngineError::UnknownToken {
                token,
                vocab_size: info.vocab_size,
            });
        }
        let needed = self.len + tokens.len();
        if needed > info.context_length {
            return Err(EngineError::ContextFull {
                needed,
                limit: info.context_length,
            });
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
        self.alive = Arc::new(());
        // Only to wake the thread if it sleeps; with a full queue it is awake.
        let _ = self.shared.commands.try_send(Command::Sweep);
    }
}
