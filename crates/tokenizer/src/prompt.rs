//! Token ids of a prompt, by the model's own rules.

use crate::{
    template::{self, ChatTemplate, Message, Role, TemplateError},
    tokenizer::Tokenizer,
};

/// Beginning of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Text to continue. A special token that it spells stays text.
    Text(String),
    /// Conversation. A last message by the assistant is continued, any other is answered.
    Messages(Vec<Message>),
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
            Self::Text(text) => tokenizer.encode(text),
            Self::Messages(messages) => encode_messages(messages, tokenizer, template)?,
        };
        Ok(tokenizer.begun(ids))
    }
}

fn encode_messages(
    messages: &[Message],
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Vec<u32>, TemplateError> {
    let (messages, begun) = match messages.split_last() {
        Some((last, before)) if last.role == Role::Assistant => (before, last.content.as_str()),
        _ => (messages, ""),
    };
    let Some(template) = template else {
        return Ok(tokenizer.encode(&(template::plain(messages) + begun)));
    };
    let contents = || messages.iter().map(|message| message.content.as_str());
    let mut texts = contents().chain([begun]);
    if !texts.any(|text| tokenizer.spells_control(text)) {
        let rendered = template.render(messages, true)? + begun;
        return Ok(tokenizer.encode_with_specials(&rendered));
    }
    // Messages are text, even if they spell control tokens.
    let mark = unused(|| contents().chain([begun])).ok_or_else(|| {
        TemplateError::Refused("they use every character for private use".to_owned())
    })?;
    let quoted = |message: &Message| Message {
        role: message.role,
        content: tokenizer.quote(&message.content, mark),
    };
    let quoted: Vec<Message> = messages.iter().map(quoted).collect();
    let rendered = template.render(&quoted, true)? + &tokenizer.quote(begun, mark);
    Ok(tokenizer.encode_quoted(&rendered, mark))
}

/// Character for private use that no text contains.
fn unused<'a, T: Iterator<Item = &'a str>>(texts: impl Fn() -> T) -> Option<char> {
    ('\u{F0000}'..='\u{FFFFD}').find(|character| texts().all(|text| !text.contains(*character)))
}
