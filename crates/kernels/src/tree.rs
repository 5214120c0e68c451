//! Tree of the tokens of a pass: several continuations of a text in one pass.

/// Path of each token of a pass through the tree, the token itself last. After the positions that all paths follow, the length of
/// its path alone decides a token's position. The first tokens of the tree may be in the KV cache already: then it grows pass by
/// pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    paths: Vec<Vec<u32>>,
    held: usize,
}

impl Tree {
    /// Tree with a token for each entry of `parents`; the first `held` tokens are in the cache, the others are the pass's. An entry
    /// is 0 for a token that follows the positions before the tree, n for one that follows token n-1. The error is the first
    /// token that would follow itself or a later one. Memory grows with the length of all paths.
    pub fn new(parents: &[u32], held: usize) -> Result<Self, usize> {
        let mut paths: Vec<Vec<u32>> = Vec::with_capacity(parents.len());
        for (index, parent) in parents.iter().enumerate() {
            let mut path = match (*parent as usize).checked_sub(1) {
                None => Vec::new(),
                Some(parent) => paths.get(parent).ok_or(index)?.clone(),
            };
            path.push(index as u32);
            paths.push(path);
        }
        Ok(Self { paths, held })
    }

    /// Number of tokens of the tree that are in the cache before the pass.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Path to a token of the pass, itself included, by places in the tree.
    pub fn path(&self, token: usize) -> &[u32] {
        &self.paths[self.held + token]
    }

    /// True if these tokens of the tree are a path from its beginning.
    pub fn has_path(&self, tokens: &[usize]) -> bool {
        let Some(last) = tokens.last() else {
            return true;
        };
        let path = self.paths.get(*last);
        path.is_some_and(|path| {
            path.iter()
                .map(|token| *token as usize)
                .eq(tokens.iter().copied())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_each_token_leads_to_it_from_what_is_held() {
        let parents = [0, 1, 2, 1, 0, 5];
        let tree = Tree::new(&parents, 0).unwrap();
        let paths: Vec<&[u32]> = (0..6).map(|token| tree.path(token)).collect();
        let expected: [&[u32]; 6] = [&[0], &[0, 1], &[0, 1, 2], &[0, 3], &[4], &[4, 5]];
        assert_eq!(paths, expected);
        let grown = Tree::new(&parents, 4).unwrap();
        assert_eq!([grown.path(0), grown.path(1)], expected[4..]);
    }

    #[test]
    fn token_that_follows_itself_or_a_later_one_is_named() {
        for (parents, wrong) in [(&[1][..], 0), (&[0, 1, 4, 0], 2), (&[0, u32::MAX], 1)] {
            assert_eq!(Tree::new(parents, 0), Err(wrong));
        }
    }

    #[test]
    fn path_has_no_gap_no_other_branch_and_begins_at_what_is_held() {
        let tree = Tree::new(&[0, 1, 2, 1], 0).unwrap();
        for path in [&[][..], &[0], &[0, 1, 2], &[0, 3]] {
            assert!(tree.has_path(path), "{path:?}");
        }
        for other in [&[1][..], &[0, 2], &[0, 1, 3], &[3, 0], &[0, 4], &[0, 0]] {
            assert!(!tree.has_path(other), "{other:?}");
        }
    }
}
