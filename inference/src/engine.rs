//! A model on a thread of its own, and sessions in it.
//!
//! The thread owns the decoder and every cache. It takes commands from a bounded queue, joins all that are ready in one
//! forward pass, and runs each caller's reading of the logits before the next pass, so that no row of a vocabulary's size is
//! ever copied to another thread. Its compute threads are a pool that only it uses and that never spins.
//!
//! Sessions join and leave between passes; `schedule` has the rules by which they share one. What prompts have in common is
//! computed once, if memory is set aside for it (`prefixes`).

mod model;
mod prefixes;
mod schedule;
mod work;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::CheckpointError;
pub use crate::decoder::ProfileError;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

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

/// What there is to know about a loaded model.
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
    /// Ids that the model gives logits for.
    pub vocab_size: usize,
    /// Weight formats in the file with their share of the weights, largest first.
    pub quantisation: String,
    /// Weights that were moved to another format at load, and whether exactly.
    pub requantised: Vec<String>,
    /// The kernels that compute products: `avx512-vnni`, `portable`, `cuda` or `metal`.
    pub kernels: String,
    /// Whether a row's logits are bit-identical in every batch.
    pub batch_invariant: bool,
    /// Bytes of the checkpoint's weight files.
    pub file_bytes: u64,
    /// Compute threads.
    pub threads: usize,
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The checkpoint is unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The profile of a simulated model is unusable.
    #[error("the profile {} of a simulated model cannot be used: {source}", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ProfileError,
    },
    /// An option is out of its range.
    #[error("{field} is {value}; it must be {range}")]
    Option {
        /// The field of [`EngineOptions`].
        field: &'static str,
        /// What was given.
        value: usize,
        /// What would be right.
        range: &'static str,
    },
    /// The device is not there, or this build has no support for it.
    #[error("device: {0}")]
    Device(String),
    /// The first forward pass failed.
    #[error("the model loads but does not run: {0}")]
    Warm(String),
    /// The thread ended while it loaded.
    #[error(
        "the model's thread ended while it loaded; this should not happen with any file, please report it"
    )]
    Ended,
    /// The thread could not be started.
    #[error("cannot start the model's thread")]
    Thread(#[source] std::io::Error),
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// As many sessions are open, or commands queued, as the limit allows.
    #[error("the model is at its limit of {limit} {what}")]
    Full {
        /// `sessions` or `queued commands`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The session would hold more positions than it may.
    #[error("{needed} positions are needed, a session may hold {limit}")]
    ContextFull {
        /// Positions after the command.
        needed: usize,
        /// The limit.
        limit: usize,
    },
    /// A token id that the vocabulary does not have.
    #[error("token {token} is outside the vocabulary of {vocab_size}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Ids of the vocabulary.
        vocab_size: usize,
    },
    /// A command without tokens, or that wants more rows than it has tokens or a pass may have.
    #[error("a pass of {tokens} tokens cannot give {rows} rows of logits; at most {limit}")]
    Rows {
        /// Tokens given.
        tokens: usize,
        /// Rows wanted.
        rows: usize,
        /// Rows that may be wanted.
        limit: usize,
    },
    /// The forward pass failed; the session is unusable.
    #[error("the forward pass failed: {0}")]
    Compute(String),
    /// The model's thread has ended.
    #[error("the model's thread has stopped")]
    Stopped,
}

/// How busy an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Open sessions.
    pub sessions: usize,
    /// Commands waiting.
    pub queued: usize,
    /// Memory of all sessions' caches.
    pub cache_bytes: u64,
    /// What is kept of earlier prompts.
    pub prefixes: PrefixLoad,
}

/// What is kept of earlier prompts, and how often it served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixLoad {
    /// Memory of keys and values, never above [`EngineOptions::prefix_cache`].
    pub bytes: u64,
    /// Commands that began as an earlier one did, since the start.
    pub hits: u64,
    /// Commands that could have and did not, since the start.
    pub misses: u64,
    /// Tokens that were not computed again, since the start.
    pub tokens: u64,
}

/// A clonable handle to a model's thread, which stops when the last handle and session are gone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What handles and sessions share with the thread.
struct Shared {
    commands: mpsc::Sender<worker::Command>,
    info: ModelInfo,
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
    sessions: AtomicUsize,
    max_sessions: usize,
    max_batch_rows: usize,
    next_session: AtomicU64,
    counts: Arc<Counts>,
}

/// What the thread keeps up to date for [`Load`].
#[derive(Default)]
struct Counts {
    cache_bytes: AtomicU64,
    prefix_bytes: AtomicU64,
    prefix_hits: AtomicU64,
    prefix_misses: AtomicU64,
    prefix_tokens: AtomicU64,
}

impl Engine {
    /// Loads and warms the model on its own thread; blocks until that is done.
    pub fn load(path: &Path, options: EngineOptions) -> Result<Self, LoadError> {
        validate(&options)?;
        let EngineOptions {
            max_sessions,
            max_batch_rows,
            ..
        } = options;
        let started = worker::start(path, options)?;
        Ok(Self {
            shared: Arc::new(Shared {
                commands: started.commands,
                info: started.info,
                tokenizer: started.tokenizer,
                template: started.template,
                sessions: AtomicUsize::new(0),
                max_sessions,
                max_batch_rows,
                next_session: AtomicU64::new(0),
                counts: started.counts,
            }),
        })
    }

    /// Comes back when the model's thread has ended, which it does while there are handles only by a fault.
    pub async fn ended(&self) {
        self.shared.commands.closed().await;
    }

    /// What was loaded.
    pub fn info(&self) -> &ModelInfo {
        &self.shared.info
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.shared.tokenizer
    }

    /// The model's chat template, if it has one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.shared.template.as_ref()
    }

    /// How busy the engine is at this moment.
    pub fn load_now(&self) -> Load {
        let (commands, counts) = (&self.shared.commands, &self.shared.counts);
        Load {
            sessions: self.shared.sessions.load(Ordering::Relaxed),
            queued: commands.max_capacity() - commands.capacity(),
            cache_bytes: counts.cache_bytes.load(Ordering::Relaxed),
            prefixes: PrefixLoad {
                bytes: counts.prefix_bytes.load(Ordering::Relaxed),
                hits: counts.prefix_hits.load(Ordering::Relaxed),
                misses: counts.prefix_misses.load(Ordering::Relaxed),
                tokens: counts.prefix_tokens.load(Ordering::Relaxed),
            },
        }
    }

    /// A new session without positions.
    pub fn open(&self) -> Result<Session, EngineError> {
        let limit = self.shared.max_sessions;
        let admitted =
            self.shared
                .sessions
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                    (open < limit).then_some(open + 1)
                });
        admitted.map_err(|_| EngineError::Full {
            what: "sessions",
            limit,
        })?;
        let id = self.shared.next_session.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        Ok(Session {
            shared,
            id,
            len: 0,
            alive: Arc::new(()),
        })
    }
}

fn validate(options: &EngineOptions) -> Result<(), LoadError> {
    let fields = [
        ("threads", options.threads, 1024),
        ("max_sessions", options.max_sessions, 1 << 20),
        ("queue", options.queue, 1 << 20),
        ("max_batch_rows", options.max_batch_rows, 1 << 16),
        ("context", options.context, 1 << 24),
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

/// The logits that a pass gave a session, valid while they are read.
pub struct Logits<'a> {
    values: &'a [f32],
    vocab_size: usize,
}

impl Logits<'_> {
    /// How many rows there are.
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

/// What a pass gave, and what it took.
#[derive(Clone, Copy, Debug)]
pub struct Passed<R> {
    /// What the reader made of the logits.
    pub value: R,
    /// Time until the first pass with rows of this command began.
    pub queued: Duration,
    /// Time in passes with rows of it, those of other sessions included.
    pub compute: Duration,
    /// Passes since the model's thread took the command up, those without rows of it included.
    pub passes: u32,
    /// Tokens that were taken over from earlier prompts instead of being computed.
    pub reused: usize,
    /// Rows of the last pass, over all sessions.
    pub batch_rows: usize,
    /// Sessions in the last pass.
    pub batch_sessions: usize,
}

impl<R> Passed<R> {
    /// The value apart from what the pass took.
    pub fn split(self) -> (R, Passed<()>) {
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
            value: (),
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
        Passed {
            value,
            queued: self.queued,
            compute: self.compute,
            passes: self.passes,
            reused: self.reused,
            batch_rows: self.batch_rows,
            batch_sessions: self.batch_sessions,
        }
    }
}

/// One sequence of positions in the model's cache. Dropping it frees them.
pub struct Session {
    shared: Arc<Shared>,
    id: u64,
    /// Positions that count; the thread's cache may hold more, since a truncation travels with the next command.
    len: usize,
    /// The thread frees the cache when this is gone.
    alive: Arc<()>,
}

impl Session {
    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the positions from `len` on; costs nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Appends `tokens` in one batched pass with whoever else is ready, then runs `read` on the model's thread with the
    /// logits after each of the last `rows` tokens.
    ///
    /// When the returned future is dropped before the pass has begun, the command is skipped; if it has begun, the positions
    /// are forgotten. Either way the session stays usable at its old length.
    pub async fn forward<R: Send + 'static>(
        &mut self,
        tokens: Vec<u32>,
        rows: usize,
        read: impl FnOnce(Logits<'_>) -> R + Send + 'static,
    ) -> Result<Passed<R>, EngineError> {
        self.check(&tokens, rows)?;
        let added = tokens.len();
        let (reply, answer) = oneshot::channel();
        let work = work::Work {
            session: self.id,
            alive: Arc::downgrade(&self.alive),
            keep: self.len,
            tokens,
            rows,
            reader: Box::new(work::Reading {
                read: Some(read),
                reply: Some(reply),
            }),
            arrived: std::time::Instant::now(),
            progress: work::Progress::default(),
        };
        self.shared
            .commands
            .try_send(worker::Command::Forward(Box::new(work)))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => EngineError::Full {
                    what: "queued commands",
                    limit: self.shared.commands.max_capacity(),
                },
                mpsc::error::TrySendError::Closed(_) => EngineError::Stopped,
            })?;
        let passed = answer.await.map_err(|_| EngineError::Stopped)??;
        self.len += added;
        Ok(passed)
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
        let _ = self.shared.commands.try_send(worker::Command::Sweep);
    }
}
