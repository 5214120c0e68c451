//! Recipes from the metadata of GGUF files.

use crate::{
    error::TokenizerError,
    gguf::{Metadata, Value},
    merges,
    piece::{Piece, PieceKind, Spelling},
    pre::{self, PreTokenizer},
    recipe::{MAX_TOKENS, Recipe},
    specials,
};

/// Entries under `tokenizer.`.
struct Entries<'a>(&'a Metadata);

/// Recipe from the entries under `tokenizer.`.
pub(super) fn read(metadata: &Metadata) -> Result<Recipe, TokenizerError> {
    let metadata = Entries(metadata);
    let model = metadata.text("model")?.ok_or_else(|| missing("model"))?;
    let spelling = match model {
        "gpt2" => Spelling::ByteLevel,
        "llama" => Spelling::SentencePiece,
        other => return Err(TokenizerError::UnknownModel(other.to_owned())),
    };
    let mut pieces = metadata.pieces(spelling)?;
    let (pre, whole_words, adds_bos) = match spelling {
        Spelling::ByteLevel => {
            let named = pre::named(metadata.text("pre")?.unwrap_or("default"))?;
            (named.pre, named.whole_words, named.adds_bos)
        }
        // SentencePiece merges across the whole text. Some converters name a pre-tokenizer all the same.
        Spelling::SentencePiece => (PreTokenizer::new("scores", Vec::new()), false, true),
    };
    let specials = specials::NamedSpecials {
        bos: metadata.id("bos_token_id")?,
        eos: metadata.id("eos_token_id")?,
        end_of_turn: metadata.id("eot_token_id")?,
        more_ends: metadata.id("eom_token_id")?.into_iter().collect(),
        adds_bos: metadata.flag("add_bos_token")?.unwrap_or(adds_bos),
        infill: metadata.infill()?,
    }
    .resolve(&mut pieces)?;
    let merges = match spelling {
        Spelling::ByteLevel => metadata.merges(&pieces)?,
        Spelling::SentencePiece => merges::from_scores(&pieces, &metadata.scores(pieces.len())?),
    };
    Ok(Recipe {
        pieces,
        spelling,
        merges,
        whole_words,
        pre,
        specials,
        // A byte that a byte-level vocabulary lacks has no token; its unknown token means something else.
        unknown: match spelling {
            Spelling::ByteLevel => None,
            Spelling::SentencePiece => metadata.id("unknown_token_id")?,
        },
        chat_template: metadata.chat_template(),
    })
}

impl<'a> Entries<'a> {
    fn pieces(&self, spelling: Spelling) -> Result<Vec<Piece>, TokenizerError> {
        let texts = self.array("tokens")?.ok_or_else(|| missing("tokens"))?;
        if texts.is_empty() || texts.len() > MAX_TOKENS {
            return Err(TokenizerError::Inconsistent(format!(
                "it has {} tokens",
                texts.len()
            )));
        }
        let types = self.array("token_type")?;
        if types.is_some_and(|types| types.len() != texts.len()) {
            return Err(TokenizerError::Inconsistent(
                "not every token has a type".into(),
            ));
        }
        let mut pieces = Vec::with_capacity(texts.len());
        for (id, text) in texts.iter().enumerate() {
            let text = text
                .as_text()
                .ok_or_else(|| mistyped("tokens", "strings"))?
                .to_owned();
            let kind = match types {
                Some(types) => {
                    let number = types[id].as_integer();
                    kind(number.ok_or_else(|| mistyped("token_type", "integers"))?)
                }
                None => PieceKind::Normal,
            };
            let mut piece = Piece { text, kind };
            if types.is_none() && spelling == Spelling::SentencePiece && piece.byte().is_some() {
                piece.kind = PieceKind::Byte;
            }
            piece.check()?;
            pieces.push(piece);
        }
        Ok(pieces)
    }

    fn merges(&self, pieces: &[Piece]) -> Result<Vec<merges::Merge>, TokenizerError> {
        let lines = self.array("merges")?.ok_or_else(|| missing("merges"))?;
        let mut pairs = Vec::with_capacity(lines.len());
        for line in lines {
            let line = line
                .as_text()
                .ok_or_else(|| mistyped("merges", "strings"))?;
            let pair = line.split_once(' ');
            pairs.push(pair.ok_or_else(|| mistyped("merges", "pairs of pieces"))?);
        }
        merges::from_pairs(pieces, pairs.into_iter())
    }

    fn scores(&self, tokens: usize) -> Result<Vec<f32>, TokenizerError> {
        let scores = self.array("scores")?.ok_or_else(|| missing("scores"))?;
        if scores.len() != tokens {
            return Err(TokenizerError::Inconsistent(
                "not every token has a score".into(),
            ));
        }
        let number = |score: &Value| {
            let number = score.as_float().map(|number| number as f32);
            number.ok_or_else(|| mistyped("scores", "numbers"))
        };
        scores.iter().map(number).collect()
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(&format!("tokenizer.ggml.{name}"))
    }

    /// Entry as `read` reads it: `None` if it is absent, an error if it has another type.
    fn typed<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, TokenizerError> {
        let value = self.get(name);
        value
            .map(|value| read(value).ok_or_else(|| mistyped(name, expected)))
            .transpose()
    }

    fn array(&self, name: &str) -> Result<Option<&'a [Value]>, TokenizerError> {
        self.typed(name, "an array", Value::as_array)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, TokenizerError> {
        self.typed(name, "a string", Value::as_text)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, TokenizerError> {
        self.typed(name, "true or false", Value::as_bool)
    }

    fn id(&self, name: &str) -> Result<Option<u32>, TokenizerError> {
        let integer = self.typed(name, "an integer", Value::as_integer)?;
        let id = integer.map(u32::try_from).transpose();
        id.map_err(|_| mistyped(name, "the id of a token"))
    }

    /// Infill markers by their present names, or by those of older converters.
    fn infill(&self) -> Result<[Option<u32>; 3], TokenizerError> {
        let named = |new, old| Ok::<_, TokenizerError>(self.id(new)?.or(self.id(old)?));
        Ok([
            named("fim_pre_token_id", "prefix_token_id")?,
            named("fim_suf_token_id", "suffix_token_id")?,
            named("fim_mid_token_id", "middle_token_id")?,
        ])
    }

    fn chat_template(&self) -> Option<String> {
        let template = self.0.get("tokenizer.chat_template")?;
        template.as_text().map(str::to_owned)
    }
}

/// Token types as GGUF numbers them.
fn kind(number: i128) -> PieceKind {
    match number {
        2 | 3 => PieceKind::Control,
        4 => PieceKind::Defined,
        5 => PieceKind::Unused,
        6 => PieceKind::Byte,
        _ => PieceKind::Normal,
    }
}

fn missing(name: &str) -> TokenizerError {
    TokenizerError::Missing(format!("tokenizer.ggml.{name}"))
}

fn mistyped(name: &str, expected: &'static str) -> TokenizerError {
    TokenizerError::Mistyped {
        key: format!("tokenizer.ggml.{name}"),
        expected,
    }
}
