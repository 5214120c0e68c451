//! Grammars that a reply follows.

use crate::{
    ProtocolError, check, limits,
    wire::verifier::v1::{self as wire, grammar},
};

/// A grammar that a reply follows, or a part of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grammar {
    /// Texts that it admits.
    pub rule: GrammarRule,
    /// Text after which it holds, each time; `None`: it holds for the whole reply.
    pub after: Option<String>,
}

/// Texts that a grammar admits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GrammarRule {
    /// JSON that is valid under this JSON Schema.
    JsonSchema(String),
    /// Text that matches this regular expression as a whole.
    Regex(String),
    /// The language of this Lark grammar.
    Lark(String),
    /// One of these.
    Choices(Vec<String>),
}

impl From<GrammarRule> for Grammar {
    fn from(rule: GrammarRule) -> Self {
        Self { rule, after: None }
    }
}

impl TryFrom<wire::Grammar> for Grammar {
    type Error = ProtocolError;

    fn try_from(grammar: wire::Grammar) -> Result<Self, ProtocolError> {
        let expected = "json_schema, regex, lark or choices";
        let rule = check::required("rule", grammar.rule, expected)?;
        let sized = |field, text: String, most| {
            check::size(field, text.len(), 1..=most, "bytes").map(|()| text)
        };
        let rule = match rule {
            grammar::Rule::JsonSchema(schema) => {
                let schema = sized("json_schema", schema, limits::MAX_GRAMMAR_BYTES)?;
                GrammarRule::JsonSchema(schema)
            }
            grammar::Rule::Regex(regex) => {
                GrammarRule::Regex(sized("regex", regex, limits::MAX_REGEX_BYTES)?)
            }
            grammar::Rule::Lark(lark) => {
                GrammarRule::Lark(sized("lark", lark, limits::MAX_GRAMMAR_BYTES)?)
            }
            grammar::Rule::Choices(choices) => GrammarRule::Choices(texts(choices.texts)?),
        };
        let after = grammar.after;
        check::size("after", after.len(), 0..=limits::MAX_NAME_BYTES, "bytes")?;
        Ok(Self {
            rule,
            after: Some(after).filter(|after| !after.is_empty()),
        })
    }
}

fn texts(texts: Vec<String>) -> Result<Vec<String>, ProtocolError> {
    check::size("choices", texts.len(), 1..=limits::MAX_CHOICES, "texts")?;
    for (i, text) in texts.iter().enumerate() {
        let most = limits::MAX_REGEX_BYTES;
        check::size(&format!("choices[{i}]"), text.len(), 1..=most, "bytes")?;
    }
    let bytes = texts.iter().map(String::len).sum();
    check::size("choices", bytes, 1..=limits::MAX_REGEX_BYTES, "bytes")?;
    Ok(texts)
}

impl From<Grammar> for wire::Grammar {
    fn from(grammar: Grammar) -> Self {
        let rule = match grammar.rule {
            GrammarRule::JsonSchema(schema) => grammar::Rule::JsonSchema(schema),
            GrammarRule::Regex(regex) => grammar::Rule::Regex(regex),
            GrammarRule::Lark(lark) => grammar::Rule::Lark(lark),
            GrammarRule::Choices(texts) => grammar::Rule::Choices(wire::Choices { texts }),
        };
        Self {
            rule: Some(rule),
            after: grammar.after.unwrap_or_default(),
        }
    }
}
