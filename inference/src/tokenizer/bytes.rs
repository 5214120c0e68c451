//! The tokenizer of a simulated model: each byte is a token, and one more token ends a reply.

use super::{
    error::TokenizerError,
    pre::{self, Named},
    recipe::{Kind, Piece, Recipe, Spelling},
    specials::Specials,
};

/// Ends a reply; a simulated model never says it.
const END: &str = "<|im_end|>";

pub(super) fn recipe() -> Result<Recipe, TokenizerError> {
    let byte = |byte: u16| Piece {
        text: format!("<0x{byte:02X}>"),
        kind: Kind::Byte,
    };
    let mut pieces: Vec<Piece> = (0..256).map(byte).collect();
    let end = pieces.len() as u32;
    pieces.push(Piece {
        text: END.to_owned(),
        kind: Kind::Control,
    });
    let Named { pre, .. } = pre::named("gpt-2")?;
    Ok(Recipe {
        pieces,
        spelling: Spelling::SentencePiece,
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
