//! Ways in which the reply may go on otherwise than proposed, drafted while the verifier looks at what is proposed.
//!
//! A verdict that refuses a token names another in its place. If that is the one that the model took for the second likeliest,
//! what follows it may have been drafted already, and the next block costs no wait. The ways are a tree: the chain of what is
//! proposed, and branches off it. All of them grow by a token in one pass of the model, which costs little more than a pass
//! for one.

use alignment::acceptance::alternatives::Alternative;
use proto::drafter::EndRole;

/// A tree behind the committed text, as far as the context goes its chain.
pub(super) struct Branches {
    /// Tokens of the context ahead of it.
    root: usize,
    nodes: Vec<Node>,
    /// The nodes that the model has seen, in the order of their positions behind the root.
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
    /// Its place among those seen.
    row: Option<usize>,
    /// Where it ends, in bytes of the reply.
    end: usize,
    /// Tokens that were drafted behind the beginning of its branch; of the chain, those behind the root.
    depth: usize,
    rival: Option<Alternative>,
    /// The reply would end behind it.
    ending: Option<EndRole>,
}

/// A node that the model is to be shown, and what its next token depends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) id: u32,
    /// The tokens from the root to it, itself the last.
    pub(super) path: Vec<u32>,
    /// Where it ends, in bytes of the reply.
    pub(super) end: usize,
    node: usize,
}

/// What is known of the tree along some text.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Way {
    /// Positions behind the root that are the text's, in its order.
    pub(super) rows: Vec<usize>,
    /// Tokens that go on behind the text, each with its rival.
    pub(super) behind: Vec<(u32, Option<Alternative>)>,
    /// How the reply would end behind them.
    pub(super) ending: Option<EndRole>,
}

impl Branches {
    /// A chain behind the first `root` tokens: ids, and where each ends. The model has seen all of them but the last.
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

    /// Tokens of the context ahead of the tree.
    pub(super) fn root(&self) -> usize {
        self.root
    }

    /// The chain goes on with a token.
    pub(super) fn extend_chain(&mut self, id: u32, end: usize) {
        let depth = self.chain.map_or(0, |chain| self.nodes[chain].depth) + 1;
        self.chain = Some(self.add(self.chain, (id, end), depth));
    }

    /// Has a branch begin with `id` in place of the chain's `index`th token.
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
            rival: None,
            ending: None,
        });
        self.nodes.len() - 1
    }

    /// The last token of the chain.
    pub(super) fn chain(&self) -> Option<Tip> {
        self.chain.map(|node| self.tip(node))
    }

    /// The ends of the branches behind which fewer than `aim` tokens are drafted.
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

    /// The tree as the model takes it: what each node that it has seen follows, and then each of `tips`.
    pub(super) fn parents(&self, tips: &[Tip]) -> Vec<u32> {
        let nodes = self.seen.iter().chain(tips.iter().map(|tip| &tip.node));
        let parent = |node: &usize| {
            let parent = self.nodes[*node].parent?;
            self.nodes[parent].row.map(|row| row as u32 + 1)
        };
        nodes.map(|node| parent(node).unwrap_or(0)).collect()
    }

    /// The model has been shown `tips`, in this order.
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

    /// A branch goes on behind its end with a token.
    pub(super) fn extend(&mut self, tip: &Tip, id: u32, end: usize, rival: Option<Alternative>) {
        let depth = self.nodes[tip.node].depth + 1;
        let next = self.add(Some(tip.node), (id, end), depth);
        self.nodes[next].rival = rival;
        for last in self.tips.iter_mut().filter(|last| **last == tip.node) {
            *last = next;
        }
    }

    /// The reply would end behind a branch.
    pub(super) fn finish(&mut self, tip: &Tip, ending: EndRole) {
        self.nodes[tip.node].ending = Some(ending);
    }

    /// The way through the tree that `text` takes, the tokens behind the root. Where it leads to the end of the text, what the tree has
    /// behind it comes with it.
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
            way.behind.push((node.id, node.rival));
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

    /// Shows the model the chain's end and the branches', and goes on with these tokens.
    fn grow(branches: &mut Branches, chain: u32, beside: [u32; 2]) {
        let mut tips: Vec<Tip> = branches.chain().into_iter().collect();
        tips.extend(branches.short(9));
        branches.shown(&tips);
        branches.extend_chain(chain, tips[0].end + 1);
        for (tip, id) in tips[1..].iter().zip(beside) {
            branches.extend(tip, id, tip.end + 1, None);
        }
    }

    #[test]
    fn pass_has_the_end_of_the_chain_and_of_each_branch_behind_what_they_follow() {
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
    fn text_that_takes_a_branch_goes_on_with_it() {
        let mut branches = branches();
        grow(&mut branches, 4, [7, 6]);
        grow(&mut branches, 5, [70, 60]);
        let way = branches.way(&[1, 9]);
        assert_eq!(way.rows, [0, 3, 6]);
        let behind: Vec<u32> = way.behind.iter().map(|(id, _)| *id).collect();
        assert_eq!(behind, [7, 70]);
        // A target's token may be several of the draft's.
        let way = branches.way(&[8, 6]);
        assert_eq!((way.rows, way.behind.len()), (vec![4, 7], 1));
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
            assert_eq!((&way.rows[..], way.behind.len()), (rows, 0), "{text:?}");
        }
        let way = branches.way(&[1, 2, 3, 4]);
        assert_eq!(
            (way.rows, way.behind.len()),
            (vec![0, 1, 2], 0),
            "the chain"
        );
    }

    #[test]
    fn branch_that_ends_is_not_gone_on_from_and_says_so() {
        let mut branches = branches();
        let tips: Vec<Tip> = branches.short(4).collect();
        branches.shown(&tips);
        branches.finish(&tips[0], EndRole::EndOfTurn);
        branches.extend(&tips[1], 6, 2, None);
        assert_eq!(branches.short(4).count(), 1);
        assert_eq!(branches.way(&[1, 9]).ending, Some(EndRole::EndOfTurn));
    }
}
