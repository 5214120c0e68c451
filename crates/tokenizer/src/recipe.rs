//! Contents of a tokenizer file in one form for all kinds of files.

use std::collections::BTreeMap;

use crate::{
    merges::Merge,
    piece::{Piece, PieceKind, Spelling},
    pre::PreTokenizer,
    specials::Specials,
};

/// Most tokens of a vocabulary; a larger one counts as damage.
pub(super) const MAX_TOKENS: usize = 1 << 22;

/// Contents of a tokenizer file.
pub(super) struct Recipe {
    /// Tokens by id.
    pub(super) pieces: Vec<Piece>,
    pub(super) spelling: Spelling,
    /// Merges, strongest first.
    pub(super) merges: Vec<Merge>,
    /// True if a word that is a piece becomes that piece even if the merges do not lead to it.
    pub(super) whole_words: bool,
    pub(super) pre: PreTokenizer,
    pub(super) specials: Specials,
    /// Token of text that no piece covers, in a vocabulary without byte pieces.
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
