//! Messages of Anthropic's API, whose content is blocks, as the messages of a chat.

use serde_json::{Value, json};

use super::{
    super::{
        error::{ApiError, shown},
        params::{Params, wrong},
        translation::Translation,
    },
    answer::CALL_ID_PREFIX,
};

/// Takes the text ahead of all messages.
pub(super) fn take_system(params: &mut Params, chat: &mut Translation) -> Result<(), ApiError> {
    let system = params.take("system");
    let system = system.map(|content| texts(params, "system", content));
    if let Some(system) = system.transpose()?.filter(|text| !text.is_empty()) {
        let message = json!({"role": "system", "content": system});
        chat.message(message, "system", "system");
    }
    Ok(())
}

/// Takes `messages`, oldest first.
pub(super) fn take_messages(params: &mut Params, chat: &mut Translation) -> Result<(), ApiError> {
    let messages = params.list("messages")?;
    let messages = params.required("messages", messages)?;
    if messages.is_empty() {
        let message = "messages is empty: it must have at least one message";
        return Err(ApiError::parameter("messages", message));
    }
    for (i, message) in messages.into_iter().enumerate() {
        let path = format!("messages[{i}]");
        let mut message = params.within(path.clone(), message)?;
        let role = message.text("role")?;
        let role = message.required("role", role)?;
        if !["user", "assistant", "system"].contains(&role.as_str()) {
            let path = format!("{path}.role");
            let message = format!("{path} is {}: it must be user or assistant", shown(&role));
            return Err(ApiError::parameter(path, message));
        }
        let content = message.take("content");
        match message.required("content", content)? {
            Value::Array(blocks) => {
                let mut turn = Turn::new(&role, &path, chat);
                for (j, block) in blocks.into_iter().enumerate() {
                    let path = format!("{path}.content[{j}]");
                    turn.take(message.within(path.clone(), block)?, &path)?;
                }
                turn.end();
            }
            Value::String(text) => {
                let said = json!({"role": role, "content": text});
                chat.message(said, &path, &format!("{path}.content"));
            }
            other => {
                let path = format!("{path}.content");
                return Err(wrong(&path, &other, "a string or a list of blocks"));
            }
        }
        message.finish()?;
    }
    Ok(())
}

/// A message that is being taken apart: results of tools are messages of their own in a chat.
struct Turn<'a> {
    role: &'a str,
    path: &'a str,
    /// Text that has not become a message.
    text: Option<String>,
    chat: &'a mut Translation,
}

impl<'a> Turn<'a> {
    fn new(role: &'a str, path: &'a str, chat: &'a mut Translation) -> Self {
        Self {
            role,
            path,
            text: None,
            chat,
        }
    }

    fn take(&mut self, mut block: Params, path: &str) -> Result<(), ApiError> {
        block.skip(&["cache_control"]);
        let kind = block.text("type")?;
        match block.required("type", kind)?.as_str() {
            "text" => {
                let text = text(block)?;
                self.text.get_or_insert_default().push_str(&text);
                Ok(())
            }
            "thinking" => {
                let thought = block.text("thinking")?;
                self.chat.think(&block.required("thinking", thought)?);
                block.skip(&["signature"]);
                block.finish()
            }
            // Only the server that made it can read it.
            "redacted_thinking" => Ok(()),
            "tool_use" => self.call(block, path),
            "tool_result" => self.result(block, path),
            other => {
                let path = format!("{path}.type");
                let message = format!(
                    "{path} is {}: it must be text, thinking, tool_use or tool_result",
                    shown(other)
                );
                Err(ApiError::parameter(path, message).coded("unsupported_parameter"))
            }
        }
    }

    fn call(&mut self, mut block: Params, path: &str) -> Result<(), ApiError> {
        self.end();
        let (id, name) = (block.text("id")?, block.text("name")?);
        let (id, name) = (block.required("id", id)?, block.required("name", name)?);
        let arguments = match block.take("input") {
            None => json!({}),
            Some(input @ Value::Object(_)) => input,
            Some(other) => return Err(wrong(&block.path("input"), &other, "an object")),
        };
        self.chat
            .call((own_id(&id), &name), &arguments.to_string(), path);
        block.skip(&["caller", "toolset_name"]);
        block.finish()
    }

    fn result(&mut self, mut block: Params, path: &str) -> Result<(), ApiError> {
        self.end();
        let id = block.text("tool_use_id")?;
        let id = block.required("tool_use_id", id)?;
        let here = block.path("content");
        let content = block.take("content");
        let content = content.map(|content| texts(&block, &here, content));
        let content = content.transpose()?.unwrap_or_default();
        let message = json!({"role": "tool", "tool_call_id": own_id(&id), "content": content});
        self.chat.message(message, path, &here);
        block.skip(&["is_error", "toolset_name"]);
        block.finish()
    }

    /// Makes a message of the text so far.
    fn end(&mut self) {
        if let Some(text) = self.text.take() {
            let message = json!({"role": self.role, "content": text});
            let content = format!("{}.content", self.path);
            self.chat.message(message, self.path, &content);
        }
    }
}

/// A call's id as it was before the answer that made it.
fn own_id(id: &str) -> &str {
    id.strip_prefix(CALL_ID_PREFIX).unwrap_or(id)
}

/// Content that must be text: a string, or a list of text blocks.
fn texts(params: &Params, path: &str, content: Value) -> Result<String, ApiError> {
    match content {
        Value::String(text) => Ok(text),
        Value::Array(blocks) => {
            let one = |(j, block)| {
                let path = format!("{path}[{j}]");
                let mut block = params.within(path.clone(), block)?;
                let kind = block.text("type")?;
                let kind = block.required("type", kind)?;
                if kind != "text" {
                    let path = format!("{path}.type");
                    let message = format!("{path} is {}: it must be text", shown(&kind));
                    return Err(ApiError::parameter(path, message).coded("unsupported_parameter"));
                }
                text(block)
            };
            blocks.into_iter().enumerate().map(one).collect()
        }
        other => Err(wrong(path, &other, "a string or a list of text blocks")),
    }
}

fn text(mut block: Params) -> Result<String, ApiError> {
    let text = block.text("text")?;
    let text = block.required("text", text)?;
    block.skip(&["cache_control", "citations"]);
    block.finish()?;
    Ok(text)
}
