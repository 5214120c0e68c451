//! State that handles and sessions share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use tokenizer::Tokenizer;
use tokenizer::template::ChatTemplate;
use tokio::sync::mpsc;

use super::load::Counts;
use super::model_info::ModelInfo;
use super::work::Command;

/// State of handles and sessions.
pub(super) struct Shared {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) info: ModelInfo,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) template: Option<ChatTemplate>,
    pub(super) sessions: AtomicUsize,
    pub(super) max_sessions: usize,
    pub(super) max_batch_rows: usize,
    pub(super) next_session: AtomicU64,
    pub(super) counts: Arc<Counts>,
}
