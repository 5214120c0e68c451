//! The tokens of a pass as a tree: several ways in which a text may go on, told apart in one pass.

/// For each token of a pass the tokens of the tree that it follows, itself the last of them. Behind the positions that all of them
/// follow, the length of such a path is what decides about a token's position, whatever else is in the tree. Its first tokens may
/// be held already: then it grows pass by pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    paths: Vec<Vec<u32>>,
    held: usize,
}

impl Tree {
    /// Of as many tokens as `parents` has entries, of which the first `held` are not the pass's: 0 for one that follows what is
    /// ahead of the tree, n for one that follows token n-1 of it. An error is the first token that would follow itself or a
    /// later one. Memory is that of all paths.
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

    /// Tokens of the tree that are held ahead of the pass.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The path to a token of the pass, itself included, by places in the tree.
    pub fn path(&self, token: usize) -> &[u32] {
        &self.paths[self.held + token]
    }

    /// Whether these tokens of the tree are a path from what is ahead of it on.
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
