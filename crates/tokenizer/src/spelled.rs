//! Tokens that a text spells out, found before words are cut and merged.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::{
    error::TokenizerError,
    piece::{Piece, PieceKind, SPACE_MARK, Spelling},
    recipe::Recipe,
};

/// Spellings and their tokens. Of several at one place the longest wins.
pub(super) struct Spelled {
    automaton: AhoCorasick,
    tokens: Vec<Vec<u32>>,
}

/// A stretch of a text.
pub(super) enum Part<'a> {
    /// Text to be cut into words and merged.
    Text(&'a str),
    /// Text that spells tokens, and these.
    Tokens(&'a str, &'a [u32]),
}

impl Spelled {
    pub(super) fn new(recipe: &Recipe, with_control: bool) -> Result<Self, TokenizerError> {
        let mut spellings = Vec::new();
        let mut tokens = Vec::new();
        for (id, piece) in (0..).zip(&recipe.pieces) {
            let found = match piece.kind {
                PieceKind::Defined => true,
                PieceKind::Control => with_control,
                PieceKind::Normal | PieceKind::Byte | PieceKind::Unused => false,
            };
            if found && !piece.text.is_empty() {
                spellings.push(piece.spelled_text(recipe.spelling));
                tokens.push(vec![id]);
            }
        }
        if recipe.spelling == Spelling::SentencePiece {
            // Pieces use this character for a space, so they cannot spell it: its bytes can.
            if let Some(bytes) = byte_pieces(recipe, SPACE_MARK) {
                spellings.push(SPACE_MARK.to_string());
                tokens.push(bytes);
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&spellings)
            .map_err(|error| TokenizerError::Build(error.into()))?;
        Ok(Self { automaton, tokens })
    }

    /// Hands over the parts of `text` in order; none is empty.
    pub(super) fn split<'a>(&'a self, text: &'a str, mut take: impl FnMut(Part<'a>)) {
        let mut done = 0;
        for found in self.automaton.find_iter(text) {
            if found.start() > done {
                take(Part::Text(&text[done..found.start()]));
            }
            let tokens = &self.tokens[found.pattern().as_usize()];
            take(Part::Tokens(&text[found.range()], tokens));
            done = found.end();
        }
        if done < text.len() {
            take(Part::Text(&text[done..]));
        }
    }
}

fn byte_pieces(recipe: &Recipe, character: char) -> Option<Vec<u32>> {
    let mut buffer = [0; 4];
    let find = |byte| {
        let matches = |piece: &Piece| piece.kind == PieceKind::Byte && piece.byte() == Some(byte);
        recipe.pieces.iter().position(matches).map(|id| id as u32)
    };
    character
        .encode_utf8(&mut buffer)
        .bytes()
        .map(find)
        .collect()
}
