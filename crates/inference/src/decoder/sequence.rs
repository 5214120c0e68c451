//! Part of a pass that belongs to one session.

use kernels::Tree;

use super::cache::Cache;

/// What one session brings to a pass.
pub(crate) struct Sequence<'a> {
    /// Its positions so far; the new ones are appended.
    pub(crate) cache: &'a mut Cache,
    /// New tokens, at least one.
    pub(crate) tokens: &'a [u32],
    /// For how many of the last tokens logits are wanted.
    pub(crate) rows: usize,
    /// What the new tokens follow of each other, and of the last of those held; none means each the one before.
    pub(crate) tree: Option<&'a Tree>,
}

impl Sequence<'_> {
    /// Where each new token stands.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        let ahead = |token| match self.tree {
            None => token,
            Some(tree) => tree.path(token).len() - 1,
        };
        let trunk = self.cache.len() - self.tree.map_or(0, Tree::held);
        (0..self.tokens.len()).map(move |token| trunk + ahead(token))
    }
}
