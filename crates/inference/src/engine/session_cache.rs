//! A session's KV cache on the model's thread, with the tokens that it is of.

use std::sync::Weak;

use super::error::EngineError;
use super::gather_window::GatherWindow;
use super::prefixes::BLOCK;
use super::work::Work;
use crate::checkpoint::Architecture;
use crate::decoder::Cache;

/// A session's cache, alive as long as its owner.
pub(super) struct SessionCache {
    pub(super) alive: Weak<()>,
    pub(super) cache: Cache,
    /// The tokens of the cache's positions.
    pub(super) tokens: Vec<u32>,
    /// Number of whole blocks at the beginning that `prefixes` has seen.
    pub(super) kept: usize,
    pub(super) window: GatherWindow,
}

impl SessionCache {
    pub(super) fn new(alive: Weak<()>, architecture: &Architecture) -> Self {
        Self {
            alive,
            cache: Cache::new(architecture),
            tokens: Vec::new(),
            kept: 0,
            window: GatherWindow::default(),
        }
    }

    /// Forgets the positions from `len` on, except those of `path`, which move up to follow position `len - 1`.
    pub(super) fn gather(&mut self, len: usize, path: &[usize]) -> candle_core::Result<()> {
        // The tokens are known only if prefixes are kept.
        if self.tokens.len() > len {
            let moved: Vec<u32> = path.iter().map(|at| self.tokens[*at]).collect();
            self.tokens.truncate(len);
            self.tokens.extend(moved);
        }
        self.kept = self.kept.min(len / BLOCK);
        self.cache.keep_path(len, path)
    }

    /// Keeps a path of a command's tokens and all positions before them.
    pub(super) fn keep_path(&mut self, work: &Work, path: Vec<usize>) -> Result<(), EngineError> {
        let is_path = match &work.tree {
            Some(tree) => tree.has_path(&path),
            None => path.len() <= work.tokens.len() && path.iter().copied().eq(0..path.len()),
        };
        if !is_path {
            return match self.gather(work.keep, &[]) {
                Ok(()) => Err(EngineError::Path { rows: path }),
                Err(error) => Err(EngineError::Compute(error.to_string())),
            };
        }
        let at: Vec<usize> = path.iter().map(|row| work.keep + row).collect();
        let moved = self.gather(work.keep, &at);
        moved.map_err(|error| EngineError::Compute(error.to_string()))
    }
}
