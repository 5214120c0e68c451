//! Tokenizers in the metadata of GGUF files.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;

use super::{
    error::TokenizerError,
    merges,
    pre::{self, PreTokenizer},
    recipe::{Kind, MAX_TOKENS, Piece, Recipe, Spelling},
    specials,
};

/// Keys of a GGUF file.
struct Metadata<'a>(&'a HashMap<String, Value>);

/// Reads everything under `tokenizer.`.
pub(super) fn read(metadata: &HashMap<String, Value>) -> Result<Recipe, TokenizerError> {
    let metadata = Metadata(metadata);
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
        // SentencePiece merges across the whole text, whatever name a converter wrote down.
        Spelling::SentencePiece => (PreTokenizer::new("scores", Vec::new()), false, true),
    };
    let specials = specials::Named {
        bos: metadata.id("bos_token_id")?,
        eos: metadata.id("eos_token_id")?,
        end_of_turn: metadata.id("eot_token_id")?,
        more_ends: metadata.id("eom_token_id")?.into_iter().collect(),
        adds_bos: metadata.flag("add_bos_token")?.unwrap_or(adds_bos),
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
        // Bytes that a byte-level vocabulary lacks have no token; its unknown token means something else.
        unknown: match spelling {
            Spelling::ByteLevel => None,
            Spelling::SentencePiece => metadata.id("unknown_token_id")?,
        },
        chat_template: metadata.chat_template(),
    })
}

impl<'a> Metadata<'a> {
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
                .to_string()
                .map_err(|_| mistyped("tokens", "strings"))?
                .clone();
            let kind = match types {
                Some(types) => kind(integer(&types[id], "token_type")?),
                None => Kind::Normal,
            };
            let mut piece = Piece { text, kind };
            if types.is_none() && spelling == Spelling::SentencePiece && piece.byte().is_some() {
                piece.kind = Kind::Byte;
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
                .to_string()
                .map_err(|_| mistyped("merges", "strings"))?;
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
        let number = |score: &Value| score.to_f32().map_err(|_| mistyped("scores", "numbers"));
        scores.iter().map(number).collect()
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(&format!("tokenizer.ggml.{name}"))
    }

    fn array(&self, name: &str) -> Result<Option<&'a [Value]>, TokenizerError> {
        let array = self
            .get(name)
            .map(|value| value.to_vec().map(Vec::as_slice));
        array.transpose().map_err(|_| mistyped(name, "an array"))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, TokenizerError> {
        let text = self
            .get(name)
            .map(|value| value.to_string().map(String::as_str));
        text.transpose().map_err(|_| mistyped(name, "a string"))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, TokenizerError> {
        let flag = self.get(name).map(Value::to_bool);
        flag.transpose()
            .map_err(|_| mistyped(name, "true or false"))
    }

    fn id(&self, name: &str) -> Result<Option<u32>, TokenizerError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let id = u32::try_from(integer(value, name)?);
        id.map(Some)
            .map_err(|_| mistyped(name, "the id of a token"))
    }

    fn chat_template(&self) -> Option<String> {
        let template = self.0.get("tokenizer.chat_template")?;
        template.to_string().ok().cloned()
    }
}

/// Token types as GGUF numbers them.
fn kind(number: i64) -> Kind {
    match number {
        2 | 3 => Kind::Control,
        4 => Kind::Defined,
        5 => Kind::Unused,
        6 => Kind::Byte,
        _ => Kind::Normal,
    }
}

fn integer(value: &Value, name: &str) -> Result<i64, TokenizerError> {
    match value {
        Value::U8(number) => Ok(i64::from(*number)),
        Value::I8(number) => Ok(i64::from(*number)),
        Value::U16(number) => Ok(i64::from(*number)),
        Value::I16(number) => Ok(i64::from(*number)),
        Value::U32(number) => Ok(i64::from(*number)),
        Value::I32(number) => Ok(i64::from(*number)),
        Value::I64(number) => Ok(*number),
        Value::U64(number) => i64::try_from(*number).map_err(|_| mistyped(name, "an integer")),
        _ => Err(mistyped(name, "an integer")),
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
