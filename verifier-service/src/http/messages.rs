//! The messages of a chat.

use proto::model::{Message, Role};
use serde_json::Value;

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
/// Fields of a message that templates of the models at hand do not show to the model.
const UNSEEN: [&str; 7] = [
    "annotations",
    "id",
    "name",
    "reasoning",
    "reasoning_content",
    "refusal",
    "tool_call_id",
];
/// Fields of a message that the model would have to see, and does not.
const UNSUPPORTED: [&str; 3] = ["audio", "function_call", "tool_calls"];

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
    let content = content(&mut params, *role)?;
    for field in UNSUPPORTED {
        params.refuse(field, &[])?;
    }
    params.skip(&UNSEEN);
    params.finish()?;
    Ok(Message {
        role: *role,
        content,
    })
}

/// Content of a message: a text, or a list of parts that are texts. Assistants may have said nothing.
fn content(params: &mut Params, role: Role) -> Result<String, ApiError> {
    let path = params.path("content");
    match params.take("content") {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let part = |(i, value)| part(params.within(format!("{path}[{i}]"), value)?);
            parts.into_iter().enumerate().map(part).collect()
        }
        Some(other) => Err(wrong(&path, &other, "a string or a list of text parts")),
        None if role == Role::Assistant => Ok(String::new()),
        None => params.required("content", None),
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
    params.skip(&["cache_control"]);
    params.finish()?;
    Ok(text)
}
