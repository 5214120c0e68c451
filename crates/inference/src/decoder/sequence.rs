//! Part of a pass that belongs to one session.

use kernels::Tree;

use super::cache::Cache;

/// Tokens and cache of one session in a pass.
pub(crate) struct Sequence<'a> {
    /// Its positions so far; the new ones are appended.
    pub(crate) cache: &'a mut Cache,
    /// New tokens, at least one.
    pub(crate) tokens: &'a [u32],
    /// Number of last tokens whose logits are wanted.
    pub(crate) rows: usize,
    /// Paths of the new tokens through a tree; `None`: a chain.
    pub(crate) tree: Option<&'a Tree>,
}

impl Sequence<'_> {
    /// Position of each new token.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        let depth = |token| match self.tree {
            None => token,
            Some(tree) => tree.path(token).len() - 1,
        };
        let trunk = self.cache.len() - self.tree.map_or(0, Tree::held);
        (0..self.tokens.len()).map(move |token| trunk + depth(token))
    }
}
