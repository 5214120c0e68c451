//! What a tokenizer is made of, whichever kind of file it was read from.

use std::collections::BTreeMap;

use crate::{
    merges::Merge,
    piece::{Piece, PieceKind, Spelling},
    pre::PreTokenizer,
    specials::Specials,
};

/// Vocabularies larger than this are taken for damage.
pub(super) const MAX_TOKENS: usize = 1 << 22;

/// Everything that a tokenizer file says, in one form.
pub(super) struct Recipe {
    /// By id.
    pub(super) pieces: Vec<Piece>,
    pub(super) spelling: Spelling,
    /// First the strongest.
    pub(super) merges: Vec<Merge>,
    /// A word that is a piece is that piece, even where the merges would not lead to it.
    pub(super) whole_words: bool,
    pub(super) pre: PreTokenizer,
    pub(super) specials: Specials,
    /// What text that no piece covers becomes, where there are no byte pieces.
    pub(super) unknown: Option<u32>,
    pub(super) chat_template: Option<String>,
}

impl Recipe {
    /// Spelling of each control token.
    pub(super) fn control_names(&self) -> BTreeMap<u32, String> {
        (0..)
            .zip(&self.pieces)
            .filter(|(_, piece)| piece.kind == PieceKind::Control)
            .map(|(id, piece)| (id, piece.text.clone()))
            .collect()
    }
}
