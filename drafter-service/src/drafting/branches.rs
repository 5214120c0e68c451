//! Branches: continuations of the reply other than the proposed one, drafted while the verifier judges the proposal.
//!
//! A verdict that rejects a token names another in its place. If that is the second best of the model, its continuation may
//! have been drafted already, and the next block costs no wait. The proposed chain and the branches off it are a tree. All of
//! them grow by a token in one pass of the model (tree attention), which costs little more than a pass for one.

use alignment::acceptance::alternatives::Alternative;
use proto::drafter::EndRole;

/// Tree after the committed text. Its chain is that of the context.
pub(super) struct Branches {
    /// Number of the context's tokens before the tree.
    root: usize,
    nodes: Vec<Node>,
    /// Nodes that the model has seen, in the order of their positions after the root.
    seen: Vec<usize>,
    /// The last node of the chain.
    chain: Option<usize>,
    /// The last node of each branch.
    tips: Vec<usize>,
}

/// A token of the tree.
struct Node {
    id: u32,
    parent: Option<usize>,
    /// Index among the nodes that the model has seen.
    row: Option<usize>,
    /// Byte end in the reply.
    end: usize,
    /// Number of tokens drafted since the beginning of its branch; in the chain, since the root.
    depth: usize,
    second_best: Option<Alternative>,
    /// Role of the token by which the reply would end after the node.
    ending: Option<EndRole>,
}

/// A node that the model is shown next, and what its next token depends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) id: u32,
    /// The tokens from the root to it, itself the last.
    pub(super) path: Vec<u32>,
    /// Byte end in the reply.
    pub(super) end: usize,
    node: usize,
}

/// Path of some text through the tree.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Way {
    /// Positions after the root that are the text's, in its order.
    pub(super) rows: Vec<usize>,
    /// Tokens of the tree after the text, each with its second best.
    pub(super) next: Vec<(u32, Option<Alternative>)>,
    /// Role of the token by which the reply would end after them.
    pub(super) ending: Option<EndRole>,
}

impl Branches {
    /// Tree of a chain after the first `root` tokens: ids and byte ends. The model has seen all of them but the last.
    pub(super) fn new(root: usize, chain: impl Iterator<Item = (u32, usize)>) -> Self {
        let mut branches = Self {
            root,
            nodes: Vec::new(),
            seen: Vec::new(),
            chain: None,
            tips: Vec::new(),
        };
        for (id, end) in chain {
            let last = branches.chain;
            branches.see(last);
            branches.extend_chain(id, end);
        }
        branches
    }

    /// Number of the context's tokens before the tree.
    pub(super) fn root(&self) -> usize {
        self.root
    }

    /// Appends a token to the chain.
    pub(super) fn extend_chain(&mut self, id: u32, end: usize) {
        let depth = self.chain.map_or(0, |chain| self.nodes[chain].depth) + 1;
        self.chain = Some(self.add(self.chain, (id, end), depth));
    }

    /// Begins a branch with `id` in place of the chain's `index`th token.
    pub(super) fn begin(&mut self, index: usize, id: u32, end: usize) {
        let parent = index.checked_sub(1);
        let tip = self.add(parent, (id, end), 0);
        self.tips.push(tip);
    }

    fn add(&mut self, parent: Option<usize>, (id, end): (u32, usize), depth: usize) -> usize {
        self.nodes.push(Node {
            id,
            parent,
            row: None,
            end,
            depth,
            second_best: None,
            ending: None,
        });
        self.nodes.len() - 1
    }

    /// The last token of the chain.
    pub(super) fn chain(&self) -> Option<Tip> {
        self.chain.map(|node| self.tip(node))
    }

    /// Ends of the branches that have fewer than `aim` tokens.
    pub(super) fn short(&self, aim: usize) -> impl Iterator<Item = Tip> {
        let tips = self.tips.iter().filter(move |tip| {
            let node = &self.nodes[**tip];
            node.depth < aim && node.ending.is_none()
        });
        tips.map(|tip| self.tip(*tip))
    }

    fn tip(&self, node: usize) -> Tip {
        let Node { id, end, .. } = self.nodes[node];
        let mut path: Vec<u32> = self.up(node).map(|node| self.nodes[node].id).collect();
        path.reverse();
        Tip {
            id,
            path,
            end,
            node,
        }
    }

    /// A node, and those it follows up to the root.
    fn up(&self, node: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(node), |node| self.nodes[*node].parent)
    }

    /// The tree as the model takes it: the parent of each node that it has seen, and then of each of `tips`.
    pub(super) fn parents(&self, tips: &[Tip]) -> Vec<u32> {
        let nodes = self.seen.iter().chain(tips.iter().map(|tip| &tip.node));
        let parent = |node: &usize| {
            let parent = self.nodes[*node].parent?;
            self.nodes[parent].row.map(|row| row as u32 + 1)
        };
        nodes.map(|node| parent(node).unwrap_or(0)).collect()
    }

    /// Records that the model has seen `tips`, in this order.
    pub(super) fn shown(&mut self, tips: &[Tip]) {
        for tip in tips {
            self.see(Some(tip.node));
        }
    }

    fn see(&mut self, node: Option<usize>) {
        if let Some(node) = node {
            self.nodes[node].row = Some(self.seen.len());
            self.seen.push(node);
        }
    }

    /// Appends a token to the branch that ends with `tip`.
    pub(super) fn extend(
        &mut self,
        tip: &Tip,
        id: u32,
        end: usize,
        second_best: Option<Alternative>,
    ) {
        let depth = self.nodes[tip.node].depth + 1;
        let next = self.add(Some(tip.node), (id, end), depth);
        self.nodes[next].second_best = second_best;
        for last in self.tips.iter_mut().filter(|last| **last == tip.node) {
            *last = next;
        }
    }

    /// Records that the reply would end after a branch.
    pub(super) fn finish(&mut self, tip: &Tip, ending: EndRole) {
        self.nodes[tip.node].ending = Some(ending);
    }

    /// Path of `text`, the tokens after the root, through the tree. Where the tree has all of it, what follows there comes with it.
    pub(super) fn way(&self, text: &[u32]) -> Way {
        let child = |parent: Option<usize>, id: Option<u32>| {
            let fits =
                |node: &Node| node.parent == parent && id.is_none_or(|wanted| node.id == wanted);
            self.nodes.iter().position(fits)
        };
        let (mut at, mut way) = (None, Way::default());
        for id in text {
            let Some(next) = child(at, Some(*id)) else {
                return way;
            };
            way.rows.extend(self.nodes[next].row);
            at = Some(next);
        }
        while at.is_some()
            && let Some(next) = child(at, None)
        {
            let node = &self.nodes[next];
            way.rows.extend(node.row);
            way.next.push((node.id, node.second_best));
            at = Some(next);
        }
        way.ending = at.and_then(|node| self.nodes[node].ending);
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chain 1 2 3 with 9 in place of 2 and 8 in place of 1, each a byte.
    fn branches() -> Branches {
        let mut branches = Branches::new(5, [(1, 1), (2, 2), (3, 3)].into_iter());
        branches.begin(1, 9, 2);
        branches.begin(0, 8, 1);
        branches
    }

    /// Shows the model the ends of the chain and of the branches, and appends these tokens.
    fn grow(branches: &mut Branches, chain: u32, branch: [u32; 2]) {
        let mut tips: Vec<Tip> = branches.chain().into_iter().collect();
        tips.extend(branches.short(9));
        branches.shown(&tips);
        branches.extend_chain(chain, tips[0].end + 1);
        for (tip, id) in tips[1..].iter().zip(branch) {
            branches.extend(tip, id, tip.end + 1, None);
        }
    }

    #[test]
    fn pass_has_the_ends_of_chain_and_branches_with_their_parents() {
        let mut branches = branches();
        let tips: Vec<Tip> = branches
            .chain()
            .into_iter()
            .chain(branches.short(2))
            .collect();
        let paths: Vec<&[u32]> = tips.iter().map(|tip| &tip.path[..]).collect();
        assert_eq!(paths, [&[1, 2, 3][..], &[1, 9], &[8]]);
        assert_eq!(branches.parents(&tips), [0, 1, 2, 1, 0]);
        grow(&mut branches, 4, [7, 6]);
        let tips: Vec<Tip> = branches.short(2).collect();
        assert_eq!(branches.parents(&tips), [0, 1, 2, 1, 0, 4, 5]);
        assert_eq!(tips[0].path, [1, 9, 7]);
        assert_eq!(branches.short(1).count(), 0, "both have a token");
    }

    #[test]
    fn text_that_takes_a_branch_is_continued_by_it() {
        let mut branches = branches();
        grow(&mut branches, 4, [7, 6]);
        grow(&mut branches, 5, [70, 60]);
        let way = branches.way(&[1, 9]);
        assert_eq!(way.rows, [0, 3, 6]);
        let next: Vec<u32> = way.next.iter().map(|(id, _)| *id).collect();
        assert_eq!(next, [7, 70]);
        // A target's token may be several of the draft's.
        let way = branches.way(&[8, 6]);
        assert_eq!((way.rows, way.next.len()), (vec![4, 7], 1));
    }

    #[test]
    fn text_that_takes_none_keeps_what_it_shares_with_one() {
        let mut branches = branches();
        grow(&mut branches, 4, [7, 6]);
        for (text, rows) in [
            (&[1, 2, 5][..], &[0, 1][..]),
            (&[5], &[]),
            (&[1, 9, 1], &[0, 3]),
        ] {
            let way = branches.way(text);
            assert_eq!((&way.rows[..], way.next.len()), (rows, 0), "{text:?}");
        }
        let way = branches.way(&[1, 2, 3, 4]);
        assert_eq!((way.rows, way.next.len()), (vec![0, 1, 2], 0), "the chain");
    }

    #[test]
    fn branch_that_ends_is_not_continued_and_says_so() {
        let mut branches = branches();
        let tips: Vec<Tip> = branches.short(4).collect();
        branches.shown(&tips);
        branches.finish(&tips[0], EndRole::EndOfTurn);
        branches.extend(&tips[1], 6, 2, None);
        assert_eq!(branches.short(4).count(), 1);
        assert_eq!(branches.way(&[1, 9]).ending, Some(EndRole::EndOfTurn));
    }
}
