//! Merges as ids, checked; and how they are rebuilt where a file carries scores instead.

use std::collections::HashMap;

use crate::{
    error::TokenizerError,
    piece::{Piece, PieceKind},
};

/// Two pieces that become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) left: u32,
    pub(super) right: u32,
    /// Piece that they become.
    pub(super) whole: u32,
}

/// Merges that a file spells out, strongest first. Each must join two pieces into a third.
pub(super) fn from_pairs<'a>(
    pieces: &[Piece],
    pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<Merge>, TokenizerError> {
    let by_text = by_text(pieces, |kind| {
        matches!(kind, PieceKind::Normal | PieceKind::Defined)
    });
    let mut merges = Vec::with_capacity(pairs.len());
    let mut joined = String::new();
    for (place, (left, right)) in pairs.enumerate() {
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        let (Some(&left), Some(&right), Some(&whole)) = (
            by_text.get(left),
            by_text.get(right),
            by_text.get(joined.as_str()),
        ) else {
            return Err(TokenizerError::Inconsistent(format!(
                "merge {place} (`{left}` with `{right}`) names a piece that is not there"
            )));
        };
        merges.push(Merge { left, right, whole });
    }
    Ok(merges)
}

/// Merges of a SentencePiece vocabulary, which has scores but no merges: every split of a normal piece
/// into two normal pieces, by falling score of the piece that results.
pub(super) fn from_scores(pieces: &[Piece], scores: &[f32]) -> Vec<Merge> {
    let by_text = by_text(pieces, |kind| kind == PieceKind::Normal);
    let mut order: Vec<u32> = (0..pieces.len() as u32)
        .filter(|&id| pieces[id as usize].kind == PieceKind::Normal)
        .collect();
    // Stable: equal scores stay in the order of ids.
    order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
    let mut merges = Vec::with_capacity(2 * order.len());
    for id in order {
        let text = pieces[id as usize].text.as_str();
        for (cut, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(cut);
            if let (Some(&left), Some(&right)) = (by_text.get(left), by_text.get(right)) {
                merges.push(Merge {
                    left,
                    right,
                    whole: id,
                });
            }
        }
    }
    merges
}

fn by_text(pieces: &[Piece], wanted: impl Fn(PieceKind) -> bool) -> HashMap<&str, u32> {
    let mut by_text = HashMap::with_capacity(pieces.len());
    for (id, piece) in (0..).zip(pieces) {
        if wanted(piece.kind) {
            by_text.entry(piece.text.as_str()).or_insert(id);
        }
    }
    by_text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(texts: &[&str]) -> Vec<Piece> {
        let piece = |text: &&str| Piece {
            text: (*text).to_owned(),
            kind: PieceKind::Normal,
        };
        texts.iter().map(piece).collect()
    }

    #[test]
    fn every_split_into_two_pieces_is_a_merge_and_the_best_score_comes_first() {
        let pieces = pieces(&["a", "b", "c", "ab", "bc", "abc"]);
        let merges = from_scores(&pieces, &[-9.0, -9.0, -9.0, -2.0, -1.0, -3.0]);
        let text = |id: u32| pieces[id as usize].text.as_str();
        let spelled: Vec<_> = merges
            .iter()
            .map(|merge| (text(merge.left), text(merge.right)))
            .collect();
        assert_eq!(spelled, [("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")]);
    }

    #[test]
    fn merges_of_pieces_that_are_not_there_are_refused() {
        let pieces = pieces(&["a", "b", "ab"]);
        assert!(from_pairs(&pieces, [("a", "b")].into_iter()).is_ok());
        for pair in [("b", "a"), ("a", "x"), ("x", "b")] {
            let error = from_pairs(&pieces, [pair].into_iter()).unwrap_err();
            assert!(matches!(error, TokenizerError::Inconsistent(_)), "{error}");
        }
    }
}
