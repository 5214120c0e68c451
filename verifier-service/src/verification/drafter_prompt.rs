//! A request's prompt as drafters get it: text, since ids and markers of the target mean nothing to another model.

use proto::model::Prompt;
use tokenizer::Tokenizer;

use crate::{error::GenerateError, target::Target};

/// Prompt for drafters; an error if the target itself cannot take the request's.
pub(super) fn of(target: &Target, prompt: &Prompt) -> Result<Prompt, GenerateError> {
    let tokenizer = target.tokenizer();
    match prompt {
        Prompt::Text(text) => Ok(infill(tokenizer, text).unwrap_or_else(|| prompt.clone())),
        Prompt::Tokens(ids) => {
            let size = target.vocab_size();
            if let Some(place) = ids.iter().position(|id| *id as usize >= size) {
                let (field, found) = (format!("prompt.tokens[{place}]"), ids[place].to_string());
                let expected = format!("below {size}");
                return Err(GenerateError::field(&field, found, expected));
            }
            let text = target.text_of(ids);
            Ok(infill(tokenizer, &text).unwrap_or(Prompt::Text(text)))
        }
        Prompt::Infill { .. } if tokenizer.specials().infill.is_none() => {
            let expected = "left out, since this model has no tokens that mark a gap";
            Err(GenerateError::field(
                "prompt.infill",
                "a text with a gap",
                expected,
            ))
        }
        Prompt::Conversation(_) | Prompt::Infill { .. } => Ok(prompt.clone()),
    }
}

/// The text with a gap that the target's markers make of `text`, if they do.
fn infill(tokenizer: &Tokenizer, text: &str) -> Option<Prompt> {
    let markers = tokenizer.specials().infill?;
    let name = |id| tokenizer.control_name(id);
    let rest = text.trim_start().strip_prefix(name(markers.prefix)?)?;
    let (prefix, rest) = rest.split_once(name(markers.suffix)?)?;
    let suffix = rest.strip_suffix(name(markers.middle?)?)?;
    Some(Prompt::Infill {
        prefix: prefix.to_owned(),
        suffix: suffix.to_owned(),
    })
}
