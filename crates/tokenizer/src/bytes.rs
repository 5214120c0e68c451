//! The tokenizer of a simulated model: each byte is a token, and one more token ends a reply.

use crate::{
    alphabet,
    error::TokenizerError,
    piece::{Piece, PieceKind, Spelling},
    pre::{self, NamedPre},
    recipe::Recipe,
    specials::Specials,
};

/// Ends a reply; a simulated model never says it.
const END: &str = "<|im_end|>";

pub(super) fn recipe() -> Result<Recipe, TokenizerError> {
    let byte = |byte: u8| Piece {
        text: alphabet::write(&[byte]),
        kind: PieceKind::Normal,
    };
    let mut pieces: Vec<Piece> = (0..=u8::MAX).map(byte).collect();
    let end = pieces.len() as u32;
    pieces.push(Piece {
        text: END.to_owned(),
        kind: PieceKind::Control,
    });
    let NamedPre { pre, .. } = pre::named("gpt-2")?;
    Ok(Recipe {
        pieces,
        spelling: Spelling::ByteLevel,
        merges: Vec::new(),
        whole_words: false,
        pre,
        specials: Specials {
            eos: Some(end),
            end_of_turn: Some(end),
            end_tokens: vec![end],
            ..Specials::default()
        },
        unknown: None,
        chat_template: None,
    })
}
