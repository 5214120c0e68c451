//! The tokenizer of a simulated model: each byte is a token, and one more token ends a reply.

use super::{
    alphabet,
    error::TokenizerError,
    pre::{self, Named},
    recipe::{Kind, Piece, Recipe, Spelling},
    specials::Specials,
};

/// Ends a reply; a simulated model never says it.
const END: &str = "<|im_end|>";

pub(super) fn recipe() -> Result<Recipe, TokenizerError> {
    let byte = |byte: u8| Piece {
        text: alphabet::write(&[byte]),
        kind: Kind::Normal,
    };
    let mut pieces: Vec<Piece> = (0..=u8::MAX).map(byte).collect();
    let end = pieces.len() as u32;
    pieces.push(Piece {
        text: END.to_owned(),
        kind: Kind::Control,
    });
    let Named { pre, .. } = pre::named("gpt-2")?;
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

#[cfg(test)]
mod tests {
    use crate::tokenizer::Tokenizer;

    #[test]
    fn text_is_its_bytes_and_comes_back() {
        let tokenizer = Tokenizer::of_bytes().unwrap();
        let text = " a b  ▁ é\n";
        let ids = tokenizer.encode(text);
        let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
        assert_eq!(ids, bytes);
        for id in ids {
            assert_eq!(tokenizer.token_bytes(id), [id as u8]);
        }
    }
}
