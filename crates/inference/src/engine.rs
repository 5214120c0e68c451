//! A model on a thread of its own, and sessions in it.
//!
//! The thread owns the decoder and every cache. It takes commands from a bounded queue, joins all that are ready in one
//! forward pass, and runs each caller's reading of the logits before the next pass, so that no row of a vocabulary's size is
//! ever copied to another thread. Its compute threads are a pool that only it uses and that never spins.
//!
//! Sessions join and leave between passes; `schedule` has the rules by which they share one. What prompts have in common is
//! computed once, if memory is set aside for it (`prefixes`).

mod error;
mod held;
mod model;
mod prefixes;
mod returns;
mod schedule;
mod session;
mod work;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

pub use self::error::{EngineError, LoadError};
pub use self::session::{Logits, Passed, Session};
pub use crate::decoder::ProfileError;
use tokenizer::Tokenizer;
use tokenizer::prompt::Prompt;
use tokenizer::template::{ChatTemplate, TemplateError};

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
    /// The kernels that compute products: `avx512-vnni`, `avx2`, `portable`, `cuda` or `metal`.
    pub kernels: String,
    /// Whether a row's logits are bit-identical in every batch.
    pub batch_invariant: bool,
    /// Bytes of the checkpoint's weight files.
    pub file_bytes: u64,
    /// Compute threads.
    pub threads: usize,
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

    /// Token ids of a prompt by the model's own rules: see [`Prompt::encode`].
    pub fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, TemplateError> {
        prompt.encode(self.tokenizer(), self.chat_template())
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
        Ok(Session::new(Arc::clone(&self.shared), id))
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
