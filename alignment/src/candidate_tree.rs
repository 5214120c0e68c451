//! Several ways in which a text may go on, as one tree of candidates that a target verifies in one pass.
//!
//! The *main* way is a block as it always was: what a drafter would say, one token after another. Others leave it somewhere.
//! Each way is re-encoded by itself, from the same committed tokens, so that each is spelled as it would be if it were the only
//! one; what their spellings have in common is there once. A tree without other ways is the main one and costs nothing more.
//!
//! That no text depends on it needs no argument of its own: the target chooses at a node as it would have chosen behind the
//! same tokens anyway. A child that it chose is gone on from, else the round ends ([`crate::round`]).

use crate::TargetToken;
use crate::reencode::Candidates;

/// A tree of candidates. Its nodes have numbers: first those of the main way, in order, then the others, each behind its parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandidateTree {
    main: Candidates,
    beside: Vec<Node>,
}

/// A node that is not on the main way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    token: TargetToken,
    /// `None`: the committed text.
    parent: Option<usize>,
    /// Where the token ends, in bytes of its way.
    end: u32,
}

impl CandidateTree {
    /// Only the main way.
    pub fn new(main: Candidates) -> Self {
        Self {
            main,
            beside: Vec::new(),
        }
    }

    /// Adds another way, as far as fewer than `most` nodes are beside the main one. Gives the first node that is new, if any
    /// is. O(tokens · nodes).
    pub fn add(&mut self, way: &Candidates, most: usize) -> Option<usize> {
        let (mut at, mut first) = (None, None);
        for (token, end) in way.tokens.iter().zip(&way.ends) {
            if let Some(child) = self.child(at, *token) {
                at = Some(child);
                continue;
            }
            if self.beside.len() >= most {
                break;
            }
            self.beside.push(Node {
                token: *token,
                parent: at,
                end: *end,
            });
            at = Some(self.len() - 1);
            first = first.or(at);
        }
        first
    }

    /// The main way.
    pub fn main(&self) -> &Candidates {
        &self.main
    }

    /// Nodes.
    pub fn len(&self) -> usize {
        self.main.tokens.len() + self.beside.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nodes that are not on the main way; their numbers are the highest.
    pub fn beside(&self) -> usize {
        self.beside.len()
    }

    /// The tokens of all nodes.
    pub fn tokens(&self) -> impl Iterator<Item = TargetToken> {
        let beside = self.beside.iter().map(|node| node.token);
        self.main.tokens.iter().copied().chain(beside)
    }

    /// What each node follows: `None` the committed text.
    pub fn parents(&self) -> impl Iterator<Item = Option<usize>> {
        let main = (0..self.main.tokens.len()).map(|node| node.checked_sub(1));
        main.chain(self.beside.iter().map(|node| node.parent))
    }

    /// Bytes of all nodes together.
    pub fn bytes(&self) -> usize {
        let beside = self.beside.iter();
        let beside =
            beside.map(|node| (node.end - node.parent.map_or(0, |at| self.end(at))) as usize);
        self.main.covered_bytes() + beside.sum::<usize>()
    }

    /// The way that begins with `path`, nodes that follow each other from the committed text on, and goes on behind it by first
    /// children: the main one if the path does not leave it.
    pub fn way(&self, path: &[usize]) -> (Candidates, Vec<usize>) {
        let mut nodes = path.to_vec();
        while let Some(next) = self.first_child(nodes.last().copied()) {
            nodes.push(next);
        }
        let candidates = Candidates {
            tokens: nodes.iter().map(|node| self.token(*node)).collect(),
            ends: nodes.iter().map(|node| self.end(*node)).collect(),
            ..Candidates::default()
        };
        (candidates, nodes)
    }

    /// The child of a node, or of the committed text, that is this token.
    pub(crate) fn child(&self, at: Option<usize>, token: TargetToken) -> Option<usize> {
        let on_main = self.next_on_main(at);
        let on_main = on_main.filter(|next| self.main.tokens[*next] == token);
        on_main.or_else(|| self.child_beside(at, |node| node.token == token))
    }

    /// Of the children of a node the main way's, else the first.
    pub(crate) fn first_child(&self, at: Option<usize>) -> Option<usize> {
        let on_main = self.next_on_main(at);
        on_main.or_else(|| self.child_beside(at, |_| true))
    }

    pub(crate) fn token(&self, node: usize) -> TargetToken {
        let main = self.main.tokens.len();
        if node < main {
            self.main.tokens[node]
        } else {
            self.beside[node - main].token
        }
    }

    /// Where a node's token ends, in bytes from the committed text on.
    pub(crate) fn end(&self, node: usize) -> u32 {
        let main = self.main.tokens.len();
        if node < main {
            self.main.ends[node]
        } else {
            self.beside[node - main].end
        }
    }

    fn next_on_main(&self, at: Option<usize>) -> Option<usize> {
        let next = at.map_or(0, |at| at + 1);
        (next < self.main.tokens.len()).then_some(next)
    }

    fn child_beside(&self, at: Option<usize>, is_it: impl Fn(&Node) -> bool) -> Option<usize> {
        let mut nodes = self.beside.iter();
        let found = nodes.position(|node| node.parent == at && is_it(node))?;
        Some(self.main.tokens.len() + found)
    }
}

impl From<Candidates> for CandidateTree {
    fn from(main: Candidates) -> Self {
        Self::new(main)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way of two-byte tokens.
    fn way(ids: &[u32]) -> Candidates {
        Candidates {
            tokens: ids.iter().copied().map(TargetToken).collect(),
            ends: (1..=ids.len() as u32).map(|token| 2 * token).collect(),
            ..Candidates::default()
        }
    }

    fn tree_of(ways: &[&[u32]], most: usize) -> (CandidateTree, Vec<Option<usize>>) {
        let mut tree = CandidateTree::new(way(ways[0]));
        let added = ways[1..].iter();
        let added = added.map(|ids| tree.add(&way(ids), most)).collect();
        (tree, added)
    }

    fn parents(tree: &CandidateTree) -> Vec<Option<usize>> {
        tree.parents().collect()
    }

    #[test]
    fn ways_share_what_they_begin_with() {
        let (tree, added) = tree_of(&[&[1, 2, 3], &[1, 4], &[5], &[1, 4, 6], &[1, 2, 3, 7]], 9);
        assert_eq!(added, [Some(3), Some(4), Some(5), Some(6)]);
        let tokens: Vec<u32> = tree.tokens().map(|token| token.0).collect();
        assert_eq!(tokens, [1, 2, 3, 4, 5, 6, 7]);
        let expected = [None, Some(0), Some(1), Some(0), None, Some(3), Some(2)];
        assert_eq!(parents(&tree), expected);
        assert_eq!((tree.len(), tree.beside()), (7, 4));
        assert_eq!(tree.bytes(), 14);
    }

    #[test]
    fn way_that_is_there_adds_nothing() {
        let (tree, added) = tree_of(&[&[1, 2], &[1], &[1, 2], &[]], 9);
        assert_eq!(added, [None, None, None]);
        assert_eq!(tree, CandidateTree::from(way(&[1, 2])));
    }

    #[test]
    fn tree_has_no_more_nodes_than_it_may() {
        let (tree, added) = tree_of(&[&[1], &[2, 3, 4], &[5]], 2);
        assert_eq!(added, [Some(1), None]);
        assert_eq!(parents(&tree), [None, None, Some(1)]);
        assert_eq!(tree_of(&[&[1], &[2]], 0).0.len(), 1);
    }

    #[test]
    fn way_goes_on_where_a_path_ends() {
        let (tree, _) = tree_of(&[&[1, 2, 3], &[1, 4, 5], &[1, 4, 6]], 9);
        let tokens = |path: &[usize]| -> (Vec<u32>, Vec<u32>) {
            let (candidates, _) = tree.way(path);
            let tokens = candidates.tokens.iter().map(|token| token.0);
            (tokens.collect(), candidates.ends)
        };
        assert_eq!(tokens(&[]).0, [1, 2, 3]);
        assert_eq!(tokens(&[0, 1]).0, [1, 2, 3]);
        assert_eq!(tokens(&[0, 3]), (vec![1, 4, 5], vec![2, 4, 6]));
        assert_eq!(tokens(&[0, 3, 5]).0, [1, 4, 6]);
        assert_eq!(tree.way(&[0, 3, 5]).1, [0, 3, 5]);
    }

    #[test]
    fn nothing_has_no_nodes() {
        let nothing = CandidateTree::default();
        assert!(nothing.is_empty() && nothing.bytes() == 0);
        assert_eq!(nothing.way(&[]).1, [0; 0]);
    }
}
