//! One round: walks a block, takes the target's decisions position by position, and adds up what the
//! round kept, what it appended and whether the generation is over.
//!
//! ```
//! # use alignment::{TargetToken, candidate_tree::CandidateTree, noise::Place, reencode::Candidates, round::Round};
//! # let candidates = Candidates { tokens: vec![TargetToken(5)], ends: vec![2], ..Candidates::default() };
//! # let choose = |_row: usize, proposed: Option<TargetToken>, _place: Place| proposed.unwrap_or(TargetToken(9));
//! # let bytes_of = |_: TargetToken| 2;
//! # let finishes = |token: TargetToken| token == TargetToken(9);
//! let tree = CandidateTree::new(candidates);
//! let mut round = Round::new(&tree, Place::default());
//! while let Some(position) = round.open() {
//!     let emitted = choose(position.row(), position.proposed(), position.place());
//!     position.decide(emitted, bytes_of(emitted), finishes(emitted));
//! }
//! let verdict = round.verdict();
//! # assert!(verdict.finished && verdict.accepted == 1 && verdict.kept_bytes == 2);
//! ```
//!
//! The walk stops at the first token that the block did not propose and at the token that finishes
//! the generation, whichever comes first. So no bonus follows an end of sequence, and no count goes
//! past what is emitted: verdict, usage and metrics come from one place.
//!
//! In a candidate tree a position offers the children of the node reached: `decide`
//! goes on to the child that equals the token emitted, and `row` is that node's row in the pass. What is
//! kept of a tree is a path.

use crate::TargetToken;
use crate::acceptance::Choice;
use crate::candidate_tree::CandidateTree;
use crate::noise::Place;

/// A round under way.
#[derive(Clone, Debug)]
pub struct Round<'a> {
    tree: &'a CandidateTree,
    place: Place,
    /// Nodes accepted, each the parent of the next.
    path: Vec<usize>,
    appended: Option<TargetToken>,
    finished: bool,
}

/// A position that waits for its decision.
#[derive(Debug)]
pub struct OpenPosition<'r, 'a> {
    round: &'r mut Round<'a>,
}

/// Outcome of a round. The tokens emitted are the `accepted` candidates of the path, then `appended`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Number of accepted candidates.
    pub accepted: usize,
    /// Accepted bytes of the draft.
    pub kept_bytes: u32,
    /// The token that follows them: a correction or a bonus. None where the last candidate kept finished
    /// the generation, or where the round was left early.
    pub appended: Option<TargetToken>,
    /// True if the last token emitted finishes the generation.
    pub finished: bool,
    /// Place of the next token.
    pub place: Place,
}

impl<'a> Round<'a> {
    /// A round over a block whose first candidate starts at `place`; without candidates it decodes plainly.
    pub fn new(tree: &'a CandidateTree, place: Place) -> Self {
        Self {
            tree,
            place,
            path: Vec::new(),
            appended: None,
            finished: false,
        }
    }

    /// The next position to decide, or none when the round is over.
    pub fn open(&mut self) -> Option<OpenPosition<'_, 'a>> {
        let over = self.finished || self.appended.is_some();
        (!over).then_some(OpenPosition { round: self })
    }

    /// The verdict of the decisions so far.
    pub fn verdict(&self) -> Verdict {
        let last = self.path.last();
        Verdict {
            accepted: self.path.len(),
            kept_bytes: last.map_or(0, |last| self.tree.end(*last)),
            appended: self.appended,
            finished: self.finished,
            place: self.place,
        }
    }

    /// The nodes accepted so far, each the parent of the next.
    pub fn path(&self) -> &[usize] {
        &self.path
    }
}

impl OpenPosition<'_, '_> {
    /// The row of the pass over the candidates that holds this position's logits, counted from 0: the
    /// row before the first candidate.
    pub fn row(&self) -> usize {
        self.reached().map_or(0, |node| node + 1)
    }

    /// The candidate here, of several the main one; none after the last.
    pub fn proposed(&self) -> Option<TargetToken> {
        let tree = self.round.tree;
        let proposed = tree.first_child(self.reached())?;
        Some(tree.token(proposed))
    }

    /// Place of the token emitted here: the key of its noise.
    pub fn place(&self) -> Place {
        self.round.place
    }

    /// Takes the target's decision: the token it emits, how many bytes that token has, and whether
    /// the generation is over with it, for any reason (end of sequence, a stop string that it
    /// completes, the limit of tokens).
    pub fn decide(self, emitted: TargetToken, bytes: usize, finishes: bool) -> Choice {
        let child = self.round.tree.child(self.reached(), emitted);
        let proposed = child.map_or_else(|| self.proposed(), |_| Some(emitted));
        let choice = Choice::of(emitted, proposed);
        let round = self.round;
        match choice {
            Choice::Accepted(_) => round.path.extend(child),
            Choice::Corrected(token) | Choice::Bonus(token) => round.appended = Some(token),
        }
        round.place = round.place.after(bytes);
        round.finished = finishes;
        choice
    }

    fn reached(&self) -> Option<usize> {
        self.round.path.last().copied()
    }
}

impl Verdict {
    /// Number of tokens that the round emitted.
    pub fn emitted(&self) -> usize {
        self.accepted + usize::from(self.appended.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reencode::Candidates;

    const END: TargetToken = TargetToken(99);

    /// A block of one-byte tokens with these ids.
    fn block(ids: &[u32]) -> Candidates {
        Candidates {
            tokens: ids.iter().copied().map(TargetToken).collect(),
            ends: (1..=ids.len() as u32).collect(),
            ..Candidates::default()
        }
    }

    /// Decides with the target's tokens in turn; `END` has no bytes and finishes. Fails when the round
    /// asks for more than there are.
    fn run(candidates: &Candidates, emitted: &[u32]) -> (Vec<Choice>, Verdict) {
        let tree = CandidateTree::from(candidates.clone());
        let mut round = Round::new(&tree, Place::default());
        let mut emitted = emitted.iter().copied().map(TargetToken);
        let mut choices = Vec::new();
        while let Some(position) = round.open() {
            assert_eq!(position.row(), choices.len());
            let token = emitted.next().unwrap();
            let bytes = usize::from(token != END);
            choices.push(position.decide(token, bytes, token == END));
        }
        assert_eq!(emitted.next(), None, "the round stopped early");
        (choices, round.verdict())
    }

    #[test]
    fn full_acceptance_adds_a_bonus() {
        let (choices, verdict) = run(&block(&[1, 2]), &[1, 2, 7]);
        assert_eq!(choices.last(), Some(&Choice::Bonus(TargetToken(7))));
        assert_eq!((verdict.accepted, verdict.kept_bytes), (2, 2));
        assert_eq!(verdict.appended, Some(TargetToken(7)));
        assert_eq!(verdict.emitted(), 3);
        assert_eq!(verdict.place.offset, 3);
        assert!(!verdict.finished);
    }

    #[test]
    fn correction_voids_the_rest_even_where_it_would_match_again() {
        let (choices, verdict) = run(&block(&[1, 2, 3]), &[1, 7]);
        assert_eq!(choices.last(), Some(&Choice::Corrected(TargetToken(7))));
        assert_eq!((verdict.accepted, verdict.kept_bytes), (1, 1));
        assert_eq!(verdict.appended, Some(TargetToken(7)));
    }

    #[test]
    fn no_bonus_follows_an_end_inside_the_block() {
        let mut candidates = block(&[1, 2]);
        assert!(candidates.push_end(END, 8));
        let (_, verdict) = run(&candidates, &[1, 2, 99]);
        assert_eq!((verdict.accepted, verdict.kept_bytes), (3, 2));
        assert_eq!(verdict.appended, None);
        assert!(verdict.finished);
        assert_eq!(verdict.place.zero_width, 1);
    }

    #[test]
    fn counts_stop_at_the_token_that_finishes() {
        let candidates = block(&[1, 2, 3, 4]);
        let tree = CandidateTree::from(candidates);
        let mut round = Round::new(&tree, Place::default());
        let mut emitted = 0;
        while let Some(position) = round.open() {
            let token = position.proposed().unwrap();
            emitted += 1;
            position.decide(token, 1, emitted == 2);
        }
        let verdict = round.verdict();
        assert_eq!((verdict.accepted, verdict.kept_bytes), (2, 2));
        assert_eq!((verdict.emitted(), verdict.appended), (2, None));
        assert!(verdict.finished);
    }

    #[test]
    fn end_as_correction_finishes_and_is_counted_once() {
        let (_, verdict) = run(&block(&[1, 2]), &[1, 99]);
        assert_eq!((verdict.accepted, verdict.emitted()), (1, 2));
        assert_eq!(verdict.appended, Some(END));
        assert!(verdict.finished);
        assert_eq!(verdict.place.offset, 1);
    }

    #[test]
    fn round_without_candidates_decodes_plainly() {
        let (choices, verdict) = run(&Candidates::default(), &[7]);
        assert_eq!(choices, [Choice::Bonus(TargetToken(7))]);
        assert_eq!((verdict.accepted, verdict.kept_bytes), (0, 0));
        assert_eq!(verdict.emitted(), 1);
    }

    /// Rows read, path and verdict of a round over ways that all begin at the same place.
    fn walk(ways: &[&[u32]], emitted: &[u32]) -> (Vec<usize>, Vec<usize>, Verdict) {
        let mut tree = CandidateTree::from(block(ways[0]));
        for way in &ways[1..] {
            tree.add(&block(way), 99);
        }
        let mut round = Round::new(&tree, Place::default());
        let mut emitted = emitted.iter().copied().map(TargetToken);
        let mut rows = Vec::new();
        while let Some(position) = round.open() {
            rows.push(position.row());
            let token = emitted.next().unwrap();
            position.decide(token, 1, token == END);
        }
        assert_eq!(emitted.next(), None, "the round stopped early");
        (rows, round.path().to_vec(), round.verdict())
    }

    #[test]
    fn tree_is_walked_along_the_tokens_emitted() {
        let ways: [&[u32]; 4] = [&[1, 2, 3], &[4], &[1, 5], &[1, 5, 6]];
        // The main way, and a bonus.
        let (rows, path, verdict) = walk(&ways, &[1, 2, 3, 9]);
        assert_eq!((rows, path), (vec![0, 1, 2, 3], vec![0, 1, 2]));
        assert_eq!(verdict.appended, Some(TargetToken(9)));
        // An alternative without children: its row gives the bonus token.
        let (rows, path, verdict) = walk(&ways, &[4, 1]);
        assert_eq!((rows, path), (vec![0, 4], vec![3]));
        assert_eq!((verdict.accepted, verdict.kept_bytes), (1, 1));
        assert_eq!(verdict.appended, Some(TargetToken(1)));
        // A branch to its end, and one that is left.
        let (rows, path, verdict) = walk(&ways, &[1, 5, 6, 6]);
        assert_eq!((rows, path), (vec![0, 1, 5, 6], vec![0, 4, 5]));
        assert_eq!(verdict.emitted(), 4);
        let (_, path, verdict) = walk(&ways, &[1, 5, 7]);
        assert_eq!((path, verdict.kept_bytes), (vec![0, 4], 2));
        // What is in no branch ends the round at once.
        let (rows, path, verdict) = walk(&ways, &[2]);
        assert_eq!((rows, path, verdict.accepted), (vec![0], vec![], 0));
    }

    #[test]
    fn choice_beside_the_main_way_counts_as_accepted_and_one_behind_a_leaf_as_bonus() {
        let mut tree = CandidateTree::from(block(&[1, 2]));
        tree.add(&block(&[3]), 9);
        let mut round = Round::new(&tree, Place::default());
        let mut choices = Vec::new();
        for token in [3, 2].map(TargetToken) {
            let position = round.open().unwrap();
            choices.push(position.decide(token, 1, false));
        }
        let expected = [
            Choice::Accepted(TargetToken(3)),
            Choice::Bonus(TargetToken(2)),
        ];
        assert_eq!(choices, expected);
        assert!(round.open().is_none());
    }
}
