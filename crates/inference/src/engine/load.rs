//! Load of an engine: what is open, waiting and held.

use std::sync::atomic::AtomicU64;

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

/// What the thread keeps up to date for [`Load`].
#[derive(Default)]
pub(super) struct Counts {
    pub(super) cache_bytes: AtomicU64,
    pub(super) prefix_bytes: AtomicU64,
    pub(super) prefix_hits: AtomicU64,
    pub(super) prefix_misses: AtomicU64,
    pub(super) prefix_tokens: AtomicU64,
}
