//! Token ids of a prompt, by the model's own rules.

use crate::{
    template::{self, Chat, ChatEnd, ChatTemplate, Message, Role, TemplateError},
    tokenizer::Tokenizer,
};

/// Beginning of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Text to continue. A control token that it spells becomes that token.
    Text(String),
    /// Conversation, whose texts spell no control token.
    Messages(Chat),
    /// Ids, taken as they are.
    Tokens(Vec<u32>),
    /// Text with a gap to fill, by the model's own markers; without them the prefix is continued.
    Infill {
        /// Text before the gap.
        prefix: String,
        /// Text after it.
        suffix: String,
    },
}

impl Prompt {
    /// Token ids of the prompt: messages in the model's chat template, or as plain text for a model without one, after the
    /// beginning-of-sequence token if the model wants one.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        template: Option<&ChatTemplate>,
    ) -> Result<Vec<u32>, TemplateError> {
        let ids = match self {
            Self::Text(text) => tokenizer.encode_with_specials(text),
            Self::Messages(chat) => encode_chat(chat, tokenizer, template)?,
            Self::Tokens(ids) => return Ok(ids.clone()),
            Self::Infill { prefix, suffix } => encode_infill((prefix, suffix), tokenizer),
        };
        Ok(tokenizer.begun(ids))
    }
}

fn encode_infill((prefix, suffix): (&str, &str), tokenizer: &Tokenizer) -> Vec<u32> {
    let Some(markers) = tokenizer.specials().infill else {
        return tokenizer.encode(prefix);
    };
    let (prefix, suffix) = (tokenizer.encode(prefix), tokenizer.encode(suffix));
    let mut ids = Vec::with_capacity(prefix.len() + suffix.len() + 3);
    let mut part = |marker: u32, text: Vec<u32>| {
        ids.push(marker);
        ids.extend(text);
    };
    if let Some(middle) = markers.middle {
        part(markers.prefix, prefix);
        part(markers.suffix, suffix);
        ids.push(middle);
    } else {
        part(markers.suffix, suffix);
        part(markers.prefix, prefix);
    }
    ids
}

fn encode_chat(
    chat: &Chat,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Vec<u32>, TemplateError> {
    let (chat, begun) = begun(chat);
    let Some(template) = template else {
        let chat = template::without_tools(&chat);
        return Ok(tokenizer.encode(&(template::plain(&chat.messages) + &begun)));
    };
    let opens_turn = chat.end != ChatEnd::Closed;
    let mut spells_control = tokenizer.spells_control(&begun);
    chat.visit(&mut |text| spells_control |= tokenizer.spells_control(text));
    if !spells_control {
        let rendered = template.render(&chat, opens_turn)?;
        let rendered = close_thought(rendered, &begun) + &begun;
        return Ok(tokenizer.encode_with_specials(&rendered));
    }
    // Messages are text, even if they spell control tokens.
    let mark = unused(&chat, &begun).ok_or_else(|| {
        TemplateError::Refused("they use every character for private use".to_owned())
    })?;
    let quoted = chat.map(&|text| tokenizer.quote(text, mark));
    let rendered = template.render(&quoted, opens_turn)?;
    let rendered = close_thought(rendered, &begun) + &tokenizer.quote(&begun, mark);
    Ok(tokenizer.encode_quoted(&rendered, mark))
}

/// The conversation without the assistant's text that the reply continues, and that text; empty if there is none.
fn begun(chat: &Chat) -> (Chat, String) {
    let continues = |last: &Message| match chat.end {
        ChatEnd::Continue => true,
        ChatEnd::Either => last.role == Role::Assistant && last.tool_calls.is_empty(),
        ChatEnd::Answer | ChatEnd::Closed => false,
    };
    let mut chat = chat.clone();
    let last = chat.messages.pop_if(|last| continues(last));
    let begun = last.map_or_else(String::new, |last| last.content);
    (chat, begun)
}

/// The rendered template with a thought that it opens closed, where a text is `begun` already: it is the answer, not a thought.
fn close_thought(rendered: String, begun: &str) -> String {
    if begun.is_empty() || !rendered.trim_end().ends_with("<think>") || begun.contains("</think>") {
        return rendered;
    }
    rendered.trim_end().to_owned() + "\n\n</think>\n\n"
}

/// Character for private use that no text contains.
fn unused(chat: &Chat, begun: &str) -> Option<char> {
    let is_used = |character: char| {
        let mut is_used = begun.contains(character);
        chat.visit(&mut |text| is_used |= text.contains(character));
        is_used
    };
    ('\u{F0000}'..='\u{FFFFD}').find(|character| !is_used(*character))
}
