//! The messages of a chat.

use proto::model::{Message, Role};
use serde_json::Value;

use super::{
    error::{ApiError, shown},
    params::{Params, wrong},
};

/// Roles as OpenAI names them.
const ROLES: [(&str, Role); 5] = [
    ("system", Role::System),
    ("developer", Role::System),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("tool", Role::Tool),
];
/// Fields of a message that the model would have to see, and does not.
const UNSUPPORTED: [&str; 6] = [
    "audio",
    "function_call",
    "name",
    "reasoning_content",
    "refusal",
    "tool_calls",
];

/// The messages of the list at `path`, oldest first. Their number and length is checked by the request's validation.
pub(super) fn parse(path: &str, messages: Vec<Value>) -> Result<Vec<Message>, ApiError> {
    let message = |(i, value)| message(Params::at(format!("{path}[{i}]"), value)?);
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
    let content = params.take("content");
    let content = params.required("content", content)?;
    let content = text(&params.path("content"), content)?;
    if *role == Role::Tool {
        // The call that it answers is of no use to a model that sees no tools.
        params.text("tool_call_id")?;
    }
    for field in UNSUPPORTED {
        params.refuse(field, &[])?;
    }
    params.refuse("annotations", &[Value::Array(Vec::new())])?;
    params.finish()?;
    Ok(Message {
        role: *role,
        content,
    })
}

/// Content of a message: a text, or a list of parts that are texts.
fn text(path: &str, content: Value) -> Result<String, ApiError> {
    match content {
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            let part = |(i, value)| part(Params::at(format!("{path}[{i}]"), value)?);
            parts.into_iter().enumerate().map(part).collect()
        }
        other => Err(wrong(path, &other, "a string or a list of text parts")),
    }
}

fn part(mut params: Params) -> Result<String, ApiError> {
    let kind = params.text("type")?;
    let kind = params.required("type", kind)?;
    if kind != "text" {
        let path = params.path("type");
        let message = format!("{path} is {}: this model reads text only", shown(&kind));
        return Err(ApiError::parameter(path, message).coded("unsupported_parameter"));
    }
    let text = params.text("text")?;
    let text = params.required("text", text)?;
    params.finish()?;
    Ok(text)
}
