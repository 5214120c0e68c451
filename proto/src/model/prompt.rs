//! Prompts: plain text, or the messages of a chat.

use crate::{
    ProtocolError, check, limits,
    wire::model::v1::{self as wire, prompt::Content},
};

/// Text or conversation that the model continues.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Prompt {
    /// Text, continued as it is.
    Text(String),
    /// Rendered by each model's own chat template; oldest message first.
    Conversation(Vec<Message>),
}

/// One message of a chat.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Text of the message.
    pub content: String,
}

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The one who asks.
    User,
    /// The model, in an earlier turn.
    Assistant,
    /// The result of a tool.
    Tool,
}

impl Prompt {
    /// Bytes of content, all messages together: what a service's limit on prompts counts.
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Conversation(messages) => messages.iter().map(|m| m.content.len()).sum(),
        }
    }
}

impl TryFrom<wire::Prompt> for Prompt {
    type Error = ProtocolError;

    fn try_from(prompt: wire::Prompt) -> Result<Self, ProtocolError> {
        let content = check::required("content", prompt.content, "text or a conversation")?;
        match content {
            Content::Text(text) => {
                check::size("text", text.len(), 1..=limits::MAX_PROMPT_BYTES, "bytes")?;
                Ok(Self::Text(text))
            }
            Content::Conversation(conversation) => {
                let messages = conversation.messages;
                let field = "conversation.messages";
                check::size(field, messages.len(), 1..=limits::MAX_MESSAGES, "messages")?;
                let messages: Result<Vec<_>, _> = messages
                    .into_iter()
                    .enumerate()
                    .map(|(i, m)| {
                        Message::try_from(m).map_err(|e| e.within(&format!("{field}[{i}]")))
                    })
                    .collect();
                let prompt = Self::Conversation(messages?);
                let bytes = prompt.content_bytes();
                check::size("conversation", bytes, 0..=limits::MAX_PROMPT_BYTES, "bytes")?;
                Ok(prompt)
            }
        }
    }
}

impl From<Prompt> for wire::Prompt {
    fn from(prompt: Prompt) -> Self {
        let content = match prompt {
            Prompt::Text(text) => Content::Text(text),
            Prompt::Conversation(messages) => Content::Conversation(wire::Conversation {
                messages: messages.into_iter().map(wire::Message::from).collect(),
            }),
        };
        Self {
            content: Some(content),
        }
    }
}

impl TryFrom<wire::Message> for Message {
    type Error = ProtocolError;

    fn try_from(message: wire::Message) -> Result<Self, ProtocolError> {
        let role = match check::known("role", message.role)? {
            wire::Role::Unspecified => return Err(check::unspecified("role", message.role)),
            wire::Role::System => Role::System,
            wire::Role::User => Role::User,
            wire::Role::Assistant => Role::Assistant,
            wire::Role::Tool => Role::Tool,
        };
        Ok(Self {
            role,
            content: message.content,
        })
    }
}

impl From<Message> for wire::Message {
    fn from(message: Message) -> Self {
        let role = match message.role {
            Role::System => wire::Role::System,
            Role::User => wire::Role::User,
            Role::Assistant => wire::Role::Assistant,
            Role::Tool => wire::Role::Tool,
        };
        Self {
            role: role.into(),
            content: message.content,
        }
    }
}
