//! Quoting of control tokens that users spell out, inside a template that spells its own.
//!
//! A message that spells `<|im_end|>` must not end its turn. So a mark is put before each such spelling; it passes through the
//! template with the message and marks the spelling as plain text when the whole is encoded. All other text is unchanged, so
//! merges cross the borders of messages as they do in any text.

use crate::{spelled::Part, tokenizer::Tokenizer};

impl Tokenizer {
    /// True if a text spells a control token.
    pub fn spells_control(&self, text: &str) -> bool {
        let mut found = false;
        self.defined_and_control.split(text, |part| {
            found |= matches!(part, Part::Tokens(_, tokens) if self.are_control(tokens));
        });
        found
    }

    /// Text with `mark`, a character that it does not contain, before each control token that it spells.
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
