//! Candidates of a round as one tree, which a target verifies in one pass.
//!
//! The *chain* is a block without alternatives: one draft token after another. Other paths leave it somewhere. Each path is
//! re-encoded by itself, after the same committed tokens, so that each is spelled as it would be alone; what their spellings
//! have in common is there once. A tree without alternatives is its chain and costs no more.
//!
//! Lossless without an argument of its own: at each node the target chooses as it would have chosen after the same tokens
//! anyway. If the chosen token is a child of the node, the round goes on there; otherwise it ends ([`crate::round`]).

use crate::TargetToken;
use crate::reencode::Candidates;

/// A tree of candidates. Its nodes have numbers: first the chain in order, then the alternatives, each after its parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandidateTree {
    chain: Candidates,
    alternatives: Vec<Node>,
}

/// A node that is not on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    token: TargetToken,
    /// `None`: the committed text.
    parent: Option<usize>,
    /// End of the token, in bytes of its path.
    end: u32,
}

impl CandidateTree {
    /// A tree that is its chain.
    pub fn new(chain: Candidates) -> Self {
        Self {
            chain,
            alternatives: Vec::new(),
        }
    }

    /// Adds another path, until `most` nodes are alternatives. Gives the first node that is new, if there is one.
    /// O(tokens · nodes).
    pub fn add(&mut self, way: &Candidates, most: usize) -> Option<usize> {
        let (mut at, mut first) = (None, None);
        for (token, end) in way.tokens.iter().zip(&way.ends) {
            if let Some(child) = self.child(at, *token) {
                at = Some(child);
                continue;
            }
            if self.alternatives.len() >= most {
                break;
            }
            self.alternatives.push(Node {
                token: *token,
                parent: at,
                end: *end,
            });
            at = Some(self.len() - 1);
            first = first.or(at);
        }
        first
    }

    /// The main path.
    pub fn chain(&self) -> &Candidates {
        &self.chain
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.chain.tokens.len() + self.alternatives.len()
    }

    /// True if there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of nodes that are not on the chain; theirs are the highest numbers.
    pub fn alternatives(&self) -> usize {
        self.alternatives.len()
    }

    /// The tokens of all nodes.
    pub fn tokens(&self) -> impl Iterator<Item = TargetToken> {
        let alternatives = self.alternatives.iter().map(|node| node.token);
        self.chain.tokens.iter().copied().chain(alternatives)
    }

    /// Parent of each node; `None` is the committed text.
    pub fn parents(&self) -> impl Iterator<Item = Option<usize>> {
        let on_chain = (0..self.chain.tokens.len()).map(|node| node.checked_sub(1));
        on_chain.chain(self.alternatives.iter().map(|node| node.parent))
    }

    /// Bytes of all nodes together.
    pub fn bytes(&self) -> usize {
        let alternatives = self.alternatives.iter();
        let alternatives =
            alternatives.map(|node| (node.end - node.parent.map_or(0, |at| self.end(at))) as usize);
        self.chain.covered_bytes() + alternatives.sum::<usize>()
    }

    /// The path that begins with `path`, nodes that follow each other from the committed text on, and goes on by first
    /// children: the chain if `path` does not leave it.
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
        let on_chain = self.next_on_chain(at);
        let on_chain = on_chain.filter(|next| self.chain.tokens[*next] == token);
        on_chain.or_else(|| self.alternative_child(at, |node| node.token == token))
    }

    /// The child on the chain, else the first child.
    pub(crate) fn first_child(&self, at: Option<usize>) -> Option<usize> {
        let on_chain = self.next_on_chain(at);
        on_chain.or_else(|| self.alternative_child(at, |_| true))
    }

    pub(crate) fn token(&self, node: usize) -> TargetToken {
        let chain = self.chain.tokens.len();
        if node < chain {
            self.chain.tokens[node]
        } else {
            self.alternatives[node - chain].token
        }
    }

    /// End of a node's token, in bytes from the committed text on.
    pub(crate) fn end(&self, node: usize) -> u32 {
        let chain = self.chain.tokens.len();
        if node < chain {
            self.chain.ends[node]
        } else {
            self.alternatives[node - chain].end
        }
    }

    fn next_on_chain(&self, at: Option<usize>) -> Option<usize> {
        let next = at.map_or(0, |at| at + 1);
        (next < self.chain.tokens.len()).then_some(next)
    }

    fn alternative_child(&self, at: Option<usize>, is_it: impl Fn(&Node) -> bool) -> Option<usize> {
        let mut nodes = self.alternatives.iter();
        let found = nodes.position(|node| node.parent == at && is_it(node))?;
        Some(self.chain.tokens.len() + found)
    }
}

impl From<Candidates> for CandidateTree {
    fn from(chain: Candidates) -> Self {
        Self::new(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of two-byte tokens.
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
    fn paths_share_their_prefixes() {
        let (tree, added) = tree_of(&[&[1, 2, 3], &[1, 4], &[5], &[1, 4, 6], &[1, 2, 3, 7]], 9);
        assert_eq!(added, [Some(3), Some(4), Some(5), Some(6)]);
        let tokens: Vec<u32> = tree.tokens().map(|token| token.0).collect();
        assert_eq!(tokens, [1, 2, 3, 4, 5, 6, 7]);
        let expected = [None, Some(0), Some(1), Some(0), None, Some(3), Some(2)];
        assert_eq!(parents(&tree), expected);
        assert_eq!((tree.len(), tree.alternatives()), (7, 4));
        assert_eq!(tree.bytes(), 14);
    }

    #[test]
    fn path_that_is_there_adds_nothing() {
        let (tree, added) = tree_of(&[&[1, 2], &[1], &[1, 2], &[]], 9);
        assert_eq!(added, [None, None, None]);
        assert_eq!(tree, CandidateTree::from(way(&[1, 2])));
    }

    #[test]
    fn tree_has_no_more_alternatives_than_it_may() {
        let (tree, added) = tree_of(&[&[1], &[2, 3, 4], &[5]], 2);
        assert_eq!(added, [Some(1), None]);
        assert_eq!(parents(&tree), [None, None, Some(1)]);
        assert_eq!(tree_of(&[&[1], &[2]], 0).0.len(), 1);
    }

    #[test]
    fn path_goes_on_by_first_children() {
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
    fn empty_tree_has_no_nodes() {
        let nothing = CandidateTree::default();
        assert!(nothing.is_empty() && nothing.bytes() == 0);
        assert_eq!(nothing.way(&[]).1, [0; 0]);
    }
}
