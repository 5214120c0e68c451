//! Prompts: plain text, the messages of a chat, token ids, or a text with a gap.

use crate::{
    ProtocolError, check, limits,
    wire::model::v1::{self as wire, prompt::Content},
};

/// What the model continues.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Prompt {
    /// Text, continued as it is.
    Text(String),
    /// Rendered by each model's own chat template.
    Conversation(Conversation),
    /// Ids of the target's vocabulary.
    Tokens(Vec<u32>),
    /// A text with a gap to fill.
    Infill {
        /// Text before the gap.
        prefix: String,
        /// Text after it.
        suffix: String,
    },
}

/// Messages of a chat, with what its template is given besides.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conversation {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Tools that the model may call: a JSON list; `None`: none.
    pub tools: Option<String>,
    /// Further variables of the template: a JSON object; `None`: none.
    pub template_variables: Option<String>,
    /// End of the prompt.
    pub ending: Ending,
}

/// End of a rendered conversation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ending {
    /// A last message by the assistant is continued, any other is answered.
    #[default]
    Either,
    /// The opening of an assistant's turn.
    Answer,
    /// The last message, open.
    Continue,
    /// The end of the last message.
    Closed,
}

/// One message of a chat.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Text of the message.
    pub content: String,
    /// Name of the speaker or the tool.
    pub name: Option<String>,
    /// Calls of tools that an assistant made: a JSON list.
    pub tool_calls: Option<String>,
    /// Call that a tool's result belongs to.
    pub tool_call_id: Option<String>,
    /// Reasoning before an assistant's text.
    pub reasoning: Option<String>,
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

impl Message {
    /// Message that is only text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            name: None,
            tool_calls: None,
            tool_call_id: None,
            reasoning: None,
        }
    }

    fn bytes(&self) -> usize {
        let of = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        self.content.len() + of(&self.tool_calls) + of(&self.reasoning)
    }
}

impl Prompt {
    /// Conversation of these messages alone, the oldest first.
    pub fn chat(messages: Vec<Message>) -> Self {
        Self::Conversation(Conversation {
            messages,
            ..Conversation::default()
        })
    }

    /// Bytes of content, all messages together: what a service's limit on prompts counts.
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Conversation(conversation) => conversation.bytes(),
            Self::Tokens(ids) => ids.len() * size_of::<u32>(),
            Self::Infill { prefix, suffix } => prefix.len() + suffix.len(),
        }
    }
}

impl Conversation {
    fn bytes(&self) -> usize {
        let messages = self.messages.iter().map(Message::bytes);
        messages.sum::<usize>() + self.tools.as_ref().map_or(0, String::len)
    }
}

impl TryFrom<wire::Prompt> for Prompt {
    type Error = ProtocolError;

    fn try_from(prompt: wire::Prompt) -> Result<Self, ProtocolError> {
        let content = check::required(
            "content",
            prompt.content,
            "a text, a conversation, token ids or a text with a gap",
        )?;
        match content {
            Content::Text(text) => {
                check::size("text", text.len(), 1..=limits::MAX_PROMPT_BYTES, "bytes")?;
                Ok(Self::Text(text))
            }
            Content::Conversation(conversation) => {
                let conversation = Conversation::try_from(conversation);
                let conversation = conversation.map_err(|e| e.within("conversation"))?;
                let bytes = conversation.bytes();
                check::size("conversation", bytes, 0..=limits::MAX_PROMPT_BYTES, "bytes")?;
                Ok(Self::Conversation(conversation))
            }
            Content::Tokens(tokens) => {
                let most = limits::MAX_PROMPT_TOKENS;
                check::size("tokens", tokens.ids.len(), 1..=most, "ids")?;
                Ok(Self::Tokens(tokens.ids))
            }
            Content::Infill(wire::Infill { prefix, suffix }) => {
                let bytes = prefix.len() + suffix.len();
                check::size("infill", bytes, 1..=limits::MAX_PROMPT_BYTES, "bytes")?;
                Ok(Self::Infill { prefix, suffix })
            }
        }
    }
}

impl From<Prompt> for wire::Prompt {
    fn from(prompt: Prompt) -> Self {
        let content = match prompt {
            Prompt::Text(text) => Content::Text(text),
            Prompt::Conversation(conversation) => Content::Conversation(conversation.into()),
            Prompt::Tokens(ids) => Content::Tokens(wire::TokenIds { ids }),
            Prompt::Infill { prefix, suffix } => Content::Infill(wire::Infill { prefix, suffix }),
        };
        Self {
            content: Some(content),
        }
    }
}

impl TryFrom<wire::Conversation> for Conversation {
    type Error = ProtocolError;

    fn try_from(conversation: wire::Conversation) -> Result<Self, ProtocolError> {
        let messages = conversation.messages;
        check::size(
            "messages",
            messages.len(),
            1..=limits::MAX_MESSAGES,
            "messages",
        )?;
        let messages: Result<Vec<_>, _> = messages
            .into_iter()
            .enumerate()
            .map(|(i, m)| Message::try_from(m).map_err(|e| e.within(&format!("messages[{i}]"))))
            .collect();
        let variables = conversation.template_variables;
        check::size(
            "template_variables",
            variables.len(),
            0..=limits::MAX_TEMPLATE_VARIABLES_BYTES,
            "bytes",
        )?;
        let ending = match check::known("ending", conversation.ending)? {
            wire::Ending::Unspecified => Ending::Either,
            wire::Ending::Answer => Ending::Answer,
            wire::Ending::Continue => Ending::Continue,
            wire::Ending::Closed => Ending::Closed,
        };
        Ok(Self {
            messages: messages?,
            tools: not_empty(conversation.tools),
            template_variables: not_empty(variables),
            ending,
        })
    }
}

impl From<Conversation> for wire::Conversation {
    fn from(conversation: Conversation) -> Self {
        let ending = match conversation.ending {
            Ending::Either => wire::Ending::Unspecified,
            Ending::Answer => wire::Ending::Answer,
            Ending::Continue => wire::Ending::Continue,
            Ending::Closed => wire::Ending::Closed,
        };
        let messages = conversation.messages.into_iter();
        Self {
            messages: messages.map(wire::Message::from).collect(),
            tools: conversation.tools.unwrap_or_default(),
            template_variables: conversation.template_variables.unwrap_or_default(),
            ending: ending.into(),
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
        let most = limits::MAX_NAME_BYTES;
        check::size("name", message.name.len(), 0..=most, "bytes")?;
        check::size(
            "tool_call_id",
            message.tool_call_id.len(),
            0..=most,
            "bytes",
        )?;
        Ok(Self {
            role,
            content: message.content,
            name: not_empty(message.name),
            tool_calls: not_empty(message.tool_calls),
            tool_call_id: not_empty(message.tool_call_id),
            reasoning: not_empty(message.reasoning),
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
            name: message.name.unwrap_or_default(),
            tool_calls: message.tool_calls.unwrap_or_default(),
            tool_call_id: message.tool_call_id.unwrap_or_default(),
            reasoning: message.reasoning.unwrap_or_default(),
        }
    }
}

fn not_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
