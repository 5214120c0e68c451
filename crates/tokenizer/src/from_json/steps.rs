//! Normaliser, pre-tokenizer and decoder of a `tokenizer.json`, reduced to what keeps every byte.

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

use crate::{
    error::TokenizerError,
    from_json::file::File,
    piece::Spelling,
    pre::{self, Step},
};

/// Spelling of bytes by pieces, and the steps that cut text into words.
///
/// Of all normalisers, only the one that writes spaces as SentencePiece does is kept, as a spelling.
pub(super) struct Steps {
    pub(super) spelling: Spelling,
    pub(super) pre: Vec<Step>,
}

#[derive(Default)]
struct Found {
    byte_level: bool,
    marks_spaces: bool,
    pre: Vec<Step>,
}

impl Steps {
    pub(super) fn read(file: &File) -> Result<Self, TokenizerError> {
        let mut found = Found {
            marks_spaces: file.model.byte_fallback,
            ..Found::default()
        };
        for (part, list) in [
            (&file.normalizer, "normalizers"),
            (&file.decoder, "decoders"),
        ] {
            each(part.as_ref(), list, &mut |step| {
                found.note_spelling(step);
                Ok(())
            })?;
        }
        each(file.pre_tokenizer.as_ref(), "pretokenizers", &mut |step| {
            found.cut(step)
        })?;
        let spelling = match (found.byte_level, found.marks_spaces) {
            (true, _) => Spelling::ByteLevel,
            (false, true) => Spelling::SentencePiece,
            (false, false) => {
                return Err(TokenizerError::Unsupported(
                    "a vocabulary not made of bytes".into(),
                ));
            }
        };
        Ok(Self {
            spelling,
            pre: found.pre,
        })
    }
}

/// Visits a step, or the steps of a sequence in order.
fn each(
    step: Option<&Value>,
    list: &str,
    visit: &mut impl FnMut(&Value) -> Result<(), TokenizerError>,
) -> Result<(), TokenizerError> {
    let Some(step) = step.filter(|step| !step.is_null()) else {
        return Ok(());
    };
    match step.get(list).and_then(Value::as_array) {
        Some(steps) => steps
            .iter()
            .try_for_each(|step| each(Some(step), list, visit)),
        None => visit(step),
    }
}

fn text<'a>(step: &'a Value, field: &str) -> &'a str {
    step.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn flag(step: &Value, field: &str, default: bool) -> bool {
    step.get(field).and_then(Value::as_bool).unwrap_or(default)
}

impl Found {
    fn note_spelling(&mut self, step: &Value) {
        let replaced = step.get("pattern").map(|pattern| text(pattern, "String"));
        let pair = (replaced.unwrap_or_default(), text(step, "content"));
        match text(step, "type") {
            "ByteLevel" => self.byte_level = true,
            "Metaspace" | "ByteFallback" => self.marks_spaces = true,
            "Replace" if matches!(pair, (" ", "▁") | ("▁", " ")) => self.marks_spaces = true,
            _ => {}
        }
    }

    fn cut(&mut self, step: &Value) -> Result<(), TokenizerError> {
        match text(step, "type") {
            "ByteLevel" => {
                self.byte_level = true;
                if flag(step, "use_regex", true) {
                    self.pre.push(Step::isolate(pre::GPT2)?);
                }
            }
            "Metaspace" => {
                self.marks_spaces = true;
                if flag(step, "split", true) {
                    self.push(&json!({
                        "type": "Split", "pattern": {"String": "▁"},
                        "behavior": "MergedWithNext", "invert": false,
                    }))?;
                }
            }
            "Split" => self.split(step)?,
            "Digits" => {
                let alone = flag(step, "individual_digits", false);
                let pattern = if alone { r"\p{N}" } else { r"\p{N}+" };
                self.pre.push(Step::isolate(pattern)?);
            }
            "Punctuation" if text(step, "behavior") == "Removed" => {
                return Err(TokenizerError::Unsupported(
                    "a `Punctuation` that removes it".into(),
                ));
            }
            "Punctuation" | "UnicodeScripts" | "FixedLength" => self.push(step)?,
            other => {
                return Err(TokenizerError::Unsupported(format!(
                    "pre-tokenizer `{other}`"
                )));
            }
        }
        Ok(())
    }

    fn split(&mut self, step: &Value) -> Result<(), TokenizerError> {
        let pattern = step.get("pattern").unwrap_or(&Value::Null);
        let isolates = match (text(step, "behavior"), flag(step, "invert", false)) {
            // Under `Removed` what lies between the words would be dropped: it is kept, as words.
            ("Isolated", _) | ("Removed", true) => true,
            ("Removed", false) => {
                return Err(TokenizerError::Unsupported(
                    "a `Split` that removes text".into(),
                ));
            }
            _ => false,
        };
        if self.marks_spaces && text(pattern, "String") == " " {
            // All spaces are marks by now: there is nothing to cut at.
            return Ok(());
        }
        match pattern.get("Regex").and_then(Value::as_str) {
            Some(regex) if isolates => self.pre.push(Step::isolate(regex)?),
            _ if isolates && text(step, "behavior") == "Removed" => {
                let mut step = step.clone();
                step["behavior"] = "Isolated".into();
                self.push(&step)?;
            }
            _ => self.push(step)?,
        }
        Ok(())
    }

    fn push(&mut self, step: &Value) -> Result<(), TokenizerError> {
        let step = PreTokenizerWrapper::deserialize(step)
            .map_err(|error| TokenizerError::Build(error.into()))?;
        self.pre.push(Step::library(step)?);
        Ok(())
    }
}
