//! A model on a thread of its own, and its sessions.
//!
//! The thread owns the decoder and every cache. It takes commands from a bounded queue, joins all that are ready in one
//! forward pass, and runs each caller's reader of the logits before the next pass, so that no row of logits is ever copied to
//! another thread. Its compute threads are a pool of its own that never spins.
//!
//! Sessions join and leave between passes; `schedule` has the rules by which they share one. A common prefix of prompts is
//! computed once, if memory is set aside for it (`prefixes`).

mod context;
mod error;
mod gather_window;
mod load;
mod model;
mod model_info;
mod options;
mod passed;
mod prefixes;
mod schedule;
mod session;
mod session_cache;
mod shared;
mod simulated;
mod thread;
mod work;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokenizer::Tokenizer;
use tokenizer::prompt::Prompt;
use tokenizer::template::{ChatTemplate, TemplateError};

pub use self::error::{EngineError, LoadError};
pub use self::load::{Load, PrefixLoad};
pub use self::model_info::ModelInfo;
pub use self::options::{DeviceChoice, EngineOptions};
pub use self::passed::{Logits, Passed};
pub use self::session::Session;
use self::shared::Shared;
pub use self::simulated::ProfileError;
pub use crate::checkpoint::SuggestedSampling;

/// A clonable handle to a model's thread, which stops when the last handle and session are gone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Loads and warms the model on its own thread; blocks until that is done.
    pub fn load(path: &Path, options: EngineOptions) -> Result<Self, LoadError> {
        options.validate()?;
        let EngineOptions {
            max_sessions,
            max_batch_rows,
            ..
        } = options;
        let started = thread::start(path, options)?;
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

    /// Waits until the model's thread has ended. While there are handles, only a fault ends it.
    pub async fn ended(&self) {
        self.shared.commands.closed().await;
    }

    /// Facts about the loaded model.
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

    /// Load of the engine at this moment.
    pub fn load_now(&self) -> Load {
        let (commands, counts) = (&self.shared.commands, &self.shared.counts);
        Load {
            sessions: self.shared.sessions.load(Ordering::Relaxed),
            queued: commands.max_capacity() - commands.capacity(),
            cache_bytes: counts.cache_bytes.load(Ordering::Relaxed),
            positions: counts.positions.load(Ordering::Relaxed),
            max_positions: self.shared.max_sessions * self.info().context_length,
            prefixes: PrefixLoad {
                bytes: counts.prefix_bytes.load(Ordering::Relaxed),
                hits: counts.prefix_hits.load(Ordering::Relaxed),
                misses: counts.prefix_misses.load(Ordering::Relaxed),
                tokens: counts.prefix_tokens.load(Ordering::Relaxed),
            },
        }
    }

    /// New session without positions, or [`EngineError::Full`] at once.
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
