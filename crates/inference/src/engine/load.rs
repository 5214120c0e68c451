//! Load of an engine: what is open, waiting and held.

use std::sync::atomic::{AtomicU64, AtomicUsize};

/// Load of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Open sessions.
    pub sessions: usize,
    /// Commands in the queue.
    pub queued: usize,
    /// Memory of all sessions' caches, in bytes.
    pub cache_bytes: u64,
    /// Positions of all sessions' caches.
    pub positions: usize,
    /// Most positions that all sessions together may hold.
    pub max_positions: usize,
    /// Prefix cache.
    pub prefixes: PrefixLoad,
}

/// Size and use of the prefix cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixLoad {
    /// Memory of keys and values, in bytes, never above [`EngineOptions::prefix_cache`](super::EngineOptions::prefix_cache).
    pub bytes: u64,
    /// Commands with a known prefix, since the start.
    pub hits: u64,
    /// Commands that could have had one and did not, since the start.
    pub misses: u64,
    /// Tokens that were not computed again, since the start.
    pub tokens: u64,
}

/// Counters that the thread keeps up to date for [`Load`].
#[derive(Default)]
pub(super) struct Counts {
    pub(super) cache_bytes: AtomicU64,
    pub(super) positions: AtomicUsize,
    pub(super) prefix_bytes: AtomicU64,
    pub(super) prefix_hits: AtomicU64,
    pub(super) prefix_misses: AtomicU64,
    pub(super) prefix_tokens: AtomicU64,
}
