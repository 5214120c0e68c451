//! Text of two origins in one: a template's, in which control tokens are spelled, and its users', in which they are quoted.
//!
//! A message that spells `<|im_end|>` must not end its turn. A mark before each such spelling travels through the template with
//! the message, and tells the quoted ones apart when the whole is encoded. All other text stays as it is, so merges reach across
//! the borders of messages just as they do in a text of one origin.

use crate::{spelled::Part, tokenizer::Tokenizer};

impl Tokenizer {
    /// Whether a text spells a control token.
    pub fn spells_control(&self, text: &str) -> bool {
        let mut found = false;
        self.defined_and_control.split(text, |part| {
            found |= matches!(part, Part::Tokens(_, tokens) if self.are_control(tokens));
        });
        found
    }

    /// The text with `mark`, a character that it does not contain, before each control token that it spells.
    pub fn quote(&self, text: &str, mark: char) -> String {
        let mut quoted = String::with_capacity(text.len());
        self.defined_and_control.split(text, |part| match part {
            Part::Text(text) => quoted.push_str(text),
            Part::Tokens(text, tokens) => {
                if self.are_control(tokens) {
                    quoted.push(mark);
                }
                quoted.push_str(text);
            }
        });
        quoted
    }

    /// Ids of text in which control tokens are spelled out, except those after a `mark`, which are plain text. No mark itself
    /// becomes a token.
    pub fn encode_quoted(&self, text: &str, mark: char) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut plain = String::new();
        self.defined_and_control.split(text, |part| match part {
            Part::Tokens(_, tokens) if self.are_control(tokens) && !plain.ends_with(mark) => {
                ids.extend(self.encode(&plain.replace(mark, "")));
                ids.extend_from_slice(tokens);
                plain.clear();
            }
            Part::Text(text) | Part::Tokens(text, _) => plain.push_str(text),
        });
        ids.extend(self.encode(&plain.replace(mark, "")));
        ids
    }

    fn are_control(&self, tokens: &[u32]) -> bool {
        tokens.iter().any(|&id| self.is_control(id))
    }
}
