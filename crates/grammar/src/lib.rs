//! Grammars that a reply follows: the set of tokens that may come next, from `llguidance`.
//!
//! A [`Guide`] walks one reply. Its sets depend on the grammar and on the tokens so far, on nothing else: a verifier that leaves
//! the other tokens out of the target's distribution gets the same reply with speculation and without.
//!
//! Invariant: this crate knows no logits.

mod guide;
mod vocabulary;

use std::{sync::Arc, thread};

use llguidance::{
    Matcher, ParserFactory,
    api::{ParserLimits, TopLevelGrammar},
    toktrie::{InferenceCapabilities, TokEnv},
};
use serde_json::{Value, json};
use tokenizer::Tokenizer;

pub use self::guide::{Guide, TokenSet};
use self::vocabulary::Vocabulary;

/// Most states of a grammar's lexer, each of 1 to 2 kB.
const MAX_LEXER_STATES: usize = 50_000;
/// Most symbols of a grammar.
const MAX_SYMBOLS: usize = 200_000;
/// Work on one set of tokens, about 7 ms.
const STEP_FUEL: u64 = 100_000;
/// Most items of one set of tokens.
const STEP_ITEMS: usize = 25_000;
/// Stack for compiling, of which little is used: 256 kB of references, one in the other, take most of it in a debug build.
const STACK: usize = 512 << 20;
/// Most characters of a reason that is passed on.
const MAX_REASON: usize = 400;

/// Fault of a grammar, or of a step in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GrammarError(String);

/// Compiler of grammars for one vocabulary.
pub struct Grammars {
    factory: ParserFactory,
}

impl Grammars {
    /// Compiler for the first `size` ids of a vocabulary. Takes a fraction of a second for a large one.
    pub fn new(tokenizer: Arc<Tokenizer>, size: usize) -> Result<Self, GrammarError> {
        let vocabulary: TokEnv = Arc::new(Vocabulary::new(tokenizer, size));
        let mut factory = ParserFactory::new(
            &vocabulary,
            InferenceCapabilities::default(),
            &llguidance::earley::SlicedBiasComputer::general_slices(),
        )
        .map_err(reason)?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            max_lexer_states: MAX_LEXER_STATES,
            max_grammar_size: MAX_SYMBOLS,
            step_lexer_fuel: STEP_FUEL,
            step_max_items: STEP_ITEMS,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        Ok(Self { factory })
    }

    /// Guide to JSON that is valid under a JSON Schema: on one line, with a space after each colon and comma, as models have seen
    /// it most. A schema's own `x-guidance` may ask for other spaces.
    pub fn json_schema(&self, schema: &str) -> Result<Guide, GrammarError> {
        let mut schema: Value = serde_json::from_str(schema)
            .map_err(|error| GrammarError(format!("the schema is not JSON: {error}")))?;
        if schema == Value::Bool(true) {
            schema = json!({});
        }
        if !schema.is_object() {
            let message = "the schema must be a JSON object";
            return Err(GrammarError(message.to_owned()));
        }
        self.guide(TopLevelGrammar::from_json_schema(on_one_line(
            &schema, false,
        )))
    }

    /// Guide to text that matches a regular expression as a whole.
    pub fn regex(&self, regex: &str) -> Result<Guide, GrammarError> {
        self.guide(TopLevelGrammar::from_regex(regex))
    }

    /// Guide to text in the language of a Lark grammar.
    pub fn lark(&self, grammar: &str) -> Result<Guide, GrammarError> {
        self.guide(TopLevelGrammar::from_lark(grammar.to_owned()))
    }

    /// Guide to one of several texts.
    pub fn choices(&self, texts: &[String]) -> Result<Guide, GrammarError> {
        let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
        self.lark(&format!("start: {}", texts.join(" | ")))
    }

    /// Compiles on a thread of its own, since the library recurses as deep as a grammar's references reach.
    fn guide(&self, grammar: TopLevelGrammar) -> Result<Guide, GrammarError> {
        let compile = || {
            let parser = self.factory.create_parser(grammar).map_err(reason)?;
            let mut guide = Guide::new(Matcher::new(Ok(parser)));
            // A grammar that admits nothing shows it here.
            guide.allowed()?;
            Ok(guide)
        };
        thread::scope(|scope| {
            let builder = thread::Builder::new().name("grammar".to_owned());
            let compiling = builder.stack_size(STACK).spawn_scoped(scope, compile);
            let compiled = compiling.map_err(reason)?.join();
            compiled.unwrap_or_else(|_| Err(GrammarError("it cannot be compiled".to_owned())))
        })
    }
}

/// Text as a literal of a Lark grammar.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A schema whose JSON is on one line, unless it asks for other spaces. One that `is_lenient` passes over keywords that the
/// library does not know; any other is refused for them.
pub fn on_one_line(schema: &Value, is_lenient: bool) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(fields) = &mut schema {
        let mut options =
            json!({"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": false});
        if is_lenient {
            options["lenient"] = json!(true);
        }
        fields.entry("x-guidance").or_insert(options);
    }
    schema
}

fn reason(error: impl std::fmt::Display) -> GrammarError {
    let text = error.to_string();
    GrammarError(text.trim().chars().take(MAX_REASON).collect())
}

#[cfg(test)]
mod tests;
