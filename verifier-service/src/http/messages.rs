//! The messages of a chat.

use proto::model::{Message, Role};
use serde_json::{Value, json};

use super::{
    error::{ApiError, shown},
    params::{Params, wrong},
};

/// Roles as OpenAI names them.
const ROLES: [(&str, Role); 6] = [
    ("system", Role::System),
    ("developer", Role::System),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("tool", Role::Tool),
    ("function", Role::Tool),
];
/// Fields of a message that no template shows to the model.
const UNSEEN: [&str; 4] = ["annotations", "id", "refusal", "status"];

/// Takes the list `messages`, oldest first. Their number and length is checked by the request's validation.
pub(super) fn take(params: &mut Params) -> Result<Vec<Message>, ApiError> {
    let messages = params.list("messages")?;
    let messages = params.required("messages", messages)?;
    let path = params.path("messages");
    let message = |(i, value)| message(params.within(format!("{path}[{i}]"), value)?);
    messages.into_iter().enumerate().map(message).collect()
}

fn message(mut params: Params) -> Result<Message, ApiError> {
    let name = params.text("role")?;
    let name = params.required("role", name)?;
    let known = ROLES.iter().find(|(known, _)| *known == name);
    let Some((_, role)) = known else {
        let path = params.path("role");
        let names = ROLES.map(|(name, _)| name).join(", ");
        let message = format!("{path} is {}: it must be one of {names}", shown(&name));
        return Err(ApiError::parameter(path, message));
    };
    let content = content(&mut params)?;
    let content = match content {
        // Assistants may have said nothing.
        None if *role == Role::Assistant => String::new(),
        content => params.required("content", content)?,
    };
    let reasoning = params.text("reasoning_content")?;
    let reasoning = reasoning.or(params.text("reasoning")?);
    let message = Message {
        name: params.text("name")?,
        tool_calls: tool_calls(&mut params)?,
        tool_call_id: params.text("tool_call_id")?,
        reasoning: reasoning.filter(|text| !text.is_empty()),
        ..Message::new(*role, content)
    };
    params.refuse("audio", &[])?;
    params.skip(&UNSEEN);
    params.finish()?;
    Ok(message)
}

/// Takes the calls of an assistant's message, in their old form too, as JSON.
fn tool_calls(params: &mut Params) -> Result<Option<String>, ApiError> {
    let path = params.path("tool_calls");
    let mut calls = params.list("tool_calls")?.unwrap_or_default();
    if let Some(function) = params.take("function_call") {
        calls.push(json!({"type": "function", "function": function}));
    }
    for (i, call) in calls.iter().enumerate() {
        let name = call.pointer("/function/name").and_then(Value::as_str);
        if name.is_none() {
            let path = format!("{path}[{i}].function.name");
            let message = format!("{path} is missing: it must be the name of the function called");
            return Err(ApiError::parameter(path, message));
        }
    }
    Ok((!calls.is_empty()).then(|| Value::Array(calls).to_string()))
}

/// Takes `content`: a text, or a list of parts that are texts; `None` if it is absent.
pub(super) fn content(params: &mut Params) -> Result<Option<String>, ApiError> {
    let path = params.path("content");
    match params.take("content") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Array(parts)) => {
            let part = |(i, value)| part(params.within(format!("{path}[{i}]"), value)?);
            let parts = parts.into_iter().enumerate().map(part);
            parts.collect::<Result<String, _>>().map(Some)
        }
        Some(other) => Err(wrong(&path, &other, "a string or a list of text parts")),
    }
}

fn part(mut params: Params) -> Result<String, ApiError> {
    let kind = params.text("type")?;
    let kind = params.required("type", kind)?;
    if kind == "refusal" {
        let text = params.text("refusal")?;
        return params.required("refusal", text);
    }
    if kind != "text" {
        let path = params.path("type");
        let message = format!("{path} is {}: this model reads text only", shown(&kind));
        return Err(ApiError::parameter(path, message).coded("unsupported_parameter"));
    }
    let text = params.text("text")?;
    let text = params.required("text", text)?;
    params.skip(&["cache_control"]);
    params.finish()?;
    Ok(text)
}
