//! Recipes from `tokenizer.json` files and the settings in the files next to them.

mod file;
mod neighbours;
mod steps;

use std::path::Path;

use serde_json::Value;

use self::{
    file::{Added, File},
    neighbours::Neighbours,
    steps::Steps,
};
use crate::{
    error::TokenizerError,
    merges,
    piece::{Piece, PieceKind, Spelling},
    pre::PreTokenizer,
    recipe::{MAX_TOKENS, Recipe},
    specials,
};

/// Recipe from a `tokenizer.json` and its neighbours.
pub(super) fn read(path: &Path) -> Result<Recipe, TokenizerError> {
    let file = File::read(path)?;
    let neighbours = Neighbours::read(path)?;
    for affix in [
        &file.model.continuing_subword_prefix,
        &file.model.end_of_word_suffix,
    ] {
        if affix.as_deref().is_some_and(|affix| !affix.is_empty()) {
            return Err(TokenizerError::Unsupported("an affix of pieces".into()));
        }
    }
    let steps = Steps::read(&file)?;
    let mut pieces = pieces(&file)?;
    let find = |text: &str| {
        pieces
            .iter()
            .position(|piece| piece.text == text)
            .map(|id| id as u32)
    };
    let bos = neighbours.bos.as_deref().and_then(find);
    let first = first_of_template(file.post_processor.as_ref()).and_then(find);
    let specials = specials::NamedSpecials {
        bos: bos.or(first),
        eos: neighbours
            .eos
            .as_deref()
            .and_then(find)
            .or_else(|| neighbours.end_tokens.first().copied()),
        end_of_turn: None,
        more_ends: neighbours.end_tokens,
        adds_bos: neighbours
            .adds_bos
            .unwrap_or(first.is_some() && (bos.is_none() || first == bos)),
        infill: [None; 3],
    };
    let unknown = match steps.spelling {
        // A byte that a byte-level vocabulary lacks has no token; its unknown token means something else.
        Spelling::ByteLevel => None,
        Spelling::SentencePiece => file.model.unk_token.as_deref().and_then(find),
    };
    let specials = specials.resolve(&mut pieces)?;
    let merges = {
        let pairs = file.model.merges.iter().map(file::Pair::pieces);
        merges::from_pairs(&pieces, pairs)?
    };
    Ok(Recipe {
        merges,
        spelling: steps.spelling,
        whole_words: file.model.ignore_merges,
        pre: PreTokenizer::new("tokenizer.json", steps.pre),
        specials,
        unknown,
        chat_template: neighbours.chat_template,
        pieces,
    })
}

fn pieces(file: &File) -> Result<Vec<Piece>, TokenizerError> {
    let added = file.added_tokens.iter().map(|token| token.id);
    let highest = file
        .model
        .vocab
        .values()
        .copied()
        .chain(added)
        .max()
        .unwrap_or(0) as usize;
    if highest >= MAX_TOKENS {
        return Err(TokenizerError::Inconsistent(format!(
            "it has a token of number {highest}"
        )));
    }
    let hole = Piece {
        text: String::new(),
        kind: PieceKind::Unused,
    };
    let mut pieces = vec![hole; highest + 1];
    for (text, &id) in &file.model.vocab {
        let mut piece = Piece {
            text: text.clone(),
            kind: PieceKind::Normal,
        };
        if file.model.byte_fallback && piece.byte().is_some() {
            piece.kind = PieceKind::Byte;
        }
        pieces[id as usize] = piece;
    }
    for token in &file.added_tokens {
        let kind = if is_control(token) {
            PieceKind::Control
        } else {
            PieceKind::Defined
        };
        pieces[token.id as usize] = Piece {
            text: token.content.clone(),
            kind,
        };
    }
    pieces.iter().try_for_each(Piece::check)?;
    Ok(pieces)
}

/// True if a token stands for no text. Files mark some such tokens as ordinary text, those that begin a speaker's turn
/// for one, so the shape of the spelling counts too.
fn is_control(token: &Added) -> bool {
    let text = token.content.as_str();
    let between = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    token.special
        || between("<|", "|>")
        || between("<｜", "｜>")
        || between("<unused", ">")
        || matches!(text, "<mask>" | "<pad>")
}

/// The special token that a post-processor puts in front of a text.
fn first_of_template(processor: Option<&Value>) -> Option<&str> {
    let processor = processor?;
    if let Some(inner) = processor.get("processors").and_then(Value::as_array) {
        return inner
            .iter()
            .find_map(|inner| first_of_template(Some(inner)));
    }
    processor
        .get("single")?
        .get(0)?
        .get("SpecialToken")?
        .get("id")?
        .as_str()
}
