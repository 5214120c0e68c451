//! Calls of tools as model families write them.
//!
//! A template that knows tools shows them to the model in its own way. Other models are told about tools in a system message, and
//! their calls and results become plain text.

use serde_json::{Value, json};

use super::{
    json::python_json,
    message::{Chat, Message, Role},
};

/// Form in which a model writes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolSyntax {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`, each call in tags of its own.
    Tagged,
    /// A control token `[TOOL_CALLS]`, then a list of `{"name": …, "arguments": …}`.
    List,
    /// `{"name": …, "parameters": …}` in place of text.
    Bare,
}

impl ToolSyntax {
    /// Form that a template shows. Models whose template knows no tools are told the tagged form.
    pub(super) fn of(template: &str) -> Self {
        if template.contains("[TOOL_CALLS]") {
            Self::List
        } else if template.contains("<tool_call>") {
            Self::Tagged
        } else if template.contains("\"parameters\"") && template.contains("ipython") {
            Self::Bare
        } else {
            Self::Tagged
        }
    }
}

/// True if a template shows tools to the model.
pub(super) fn is_known_to(template: &str) -> bool {
    template.contains("tools") && template.contains("tool_call")
        || template.contains("available_tools")
}

/// The conversation for a template that knows no tools: they are described in its system message, calls are text, and results
/// are the user's.
pub(crate) fn without_tools(chat: &Chat) -> Chat {
    let mut messages: Vec<Message> = chat.messages.iter().map(plain).collect();
    if !chat.tools.is_empty() {
        let described = description(&chat.tools);
        match messages.first_mut() {
            Some(first) if first.role == Role::System => {
                first.content = format!("{}\n\n{described}", first.content.trim_end());
            }
            _ => messages.insert(0, Message::new(Role::System, described)),
        }
    }
    Chat {
        messages,
        tools: Vec::new(),
        variables: chat.variables.clone(),
        end: chat.end,
    }
}

fn plain(message: &Message) -> Message {
    match message.role {
        Role::Tool => {
            let result = format!("<tool_response>\n{}\n</tool_response>", message.content);
            Message::new(Role::User, result)
        }
        Role::Assistant if !message.tool_calls.is_empty() => {
            let calls: Vec<String> = message.tool_calls.iter().map(tagged).collect();
            let mut text = message.content.clone();
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&calls.join("\n"));
            Message::new(Role::Assistant, text)
        }
        _ => message.clone(),
    }
}

fn tagged(call: &Value) -> String {
    let function = &call["function"];
    let call = json!({"name": function["name"], "arguments": function["arguments"]});
    format!("<tool_call>\n{}\n</tool_call>", python_json(&call))
}

fn description(tools: &[Value]) -> String {
    let mut text = "You can call tools. Each line describes one, as JSON:\n".to_owned();
    for tool in tools {
        text.push_str(&python_json(tool));
        text.push('\n');
    }
    text.push_str(
        "To call a tool, write nothing but its name and arguments as JSON between tags:\n\
         <tool_call>\n{\"name\": \"the name\", \"arguments\": {}}\n</tool_call>\n\
         The result follows between <tool_response> tags. Call a tool only where it helps.",
    );
    text
}
