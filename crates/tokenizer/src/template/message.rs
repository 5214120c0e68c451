//! Messages of a conversation, and what a template is given besides.

use serde_json::{Map, Value};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Speaker.
    pub role: Role,
    /// Text.
    pub content: String,
    /// Name of the speaker, or of the tool.
    pub name: Option<String>,
    /// Calls of tools, in OpenAI's form.
    pub tool_calls: Vec<Value>,
    /// Call that a tool's result belongs to.
    pub tool_call_id: Option<String>,
    /// Reasoning before an assistant's text.
    pub reasoning: Option<String>,
}

/// Speaker of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions that set the scene.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
    /// Result of a tool that the model called.
    Tool,
}

/// A conversation to be rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chat {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Tools that the model may call, in OpenAI's form.
    pub tools: Vec<Value>,
    /// Further variables of the template.
    pub variables: Map<String, Value>,
    /// End of the prompt.
    pub end: ChatEnd,
}

/// End of a rendered conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChatEnd {
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

impl Message {
    /// Message that is only text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            name: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            reasoning: None,
        }
    }

    /// The same message with every text changed by `change`, those within calls included.
    #[must_use]
    pub(crate) fn map(&self, change: &impl Fn(&str) -> String) -> Self {
        let mapped = |text: &Option<String>| text.as_deref().map(change);
        Self {
            role: self.role,
            content: change(&self.content),
            name: mapped(&self.name),
            tool_calls: map_all(&self.tool_calls, change),
            tool_call_id: mapped(&self.tool_call_id),
            reasoning: mapped(&self.reasoning),
        }
    }

    /// Every text of the message.
    pub(crate) fn visit(&self, see: &mut impl FnMut(&str)) {
        see(&self.content);
        for text in [&self.name, &self.tool_call_id, &self.reasoning]
            .into_iter()
            .flatten()
        {
            see(text);
        }
        self.tool_calls.iter().for_each(|value| visit(value, see));
    }
}

impl Chat {
    /// Conversation of these messages alone.
    pub fn new(messages: Vec<Message>) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }

    /// The same conversation with every text changed by `change`: of messages, tools and variables.
    #[must_use]
    pub(crate) fn map(&self, change: &impl Fn(&str) -> String) -> Self {
        let messages = self.messages.iter();
        let variables = self.variables.iter();
        Self {
            messages: messages.map(|message| message.map(change)).collect(),
            tools: map_all(&self.tools, change),
            variables: variables
                .map(|(name, value)| (name.clone(), map(value, change)))
                .collect(),
            end: self.end,
        }
    }

    /// Every text of the conversation.
    pub(crate) fn visit(&self, see: &mut impl FnMut(&str)) {
        self.messages.iter().for_each(|message| message.visit(see));
        self.tools.iter().for_each(|value| visit(value, see));
        self.variables.values().for_each(|value| visit(value, see));
    }
}

fn map_all(values: &[Value], change: &impl Fn(&str) -> String) -> Vec<Value> {
    values.iter().map(|value| map(value, change)).collect()
}

fn map(value: &Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => Value::Array(map_all(items, change)),
        Value::Object(fields) => {
            let fields = fields.iter();
            Value::Object(
                fields
                    .map(|(name, value)| (change(name), map(value, change)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

fn visit(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        Value::Object(fields) => {
            for (name, value) in fields {
                see(name);
                visit(value, see);
            }
        }
        _ => {}
    }
}

impl Role {
    /// The name that templates know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}
