//! The input of the Responses API, as the messages of a chat.

use serde_json::{Map, Value, json};

use super::super::{
    error::{ApiError, shown},
    params::{Params, wrong},
    translation::Translation,
};

/// Types of text in this API, all of which are texts to a chat.
const TEXTS: [&str; 4] = [
    "input_text",
    "output_text",
    "reasoning_text",
    "summary_text",
];
/// What a text may have beside itself, which no model is shown.
const UNSEEN: [&str; 3] = ["annotations", "logprobs", "prompt_cache_breakpoint"];
/// The same of an item.
const UNSEEN_OF_ITEMS: [&str; 6] = ["async", "caller", "id", "namespace", "phase", "status"];

/// Takes `input`: a text, or a list of items.
pub(super) fn take(params: &mut Params, chat: &mut Translation) -> Result<(), ApiError> {
    let input = params.take("input");
    match params.required("input", input)? {
        Value::String(text) => {
            chat.message(json!({"role": "user", "content": text}), "input", "input");
            Ok(())
        }
        Value::Array(items) if items.is_empty() => {
            let message = "input is empty: it must have at least one item";
            Err(ApiError::parameter("input", message))
        }
        Value::Array(items) => {
            for (i, value) in items.into_iter().enumerate() {
                let path = format!("input[{i}]");
                item(params.within(path.clone(), value)?, &path, chat)?;
            }
            Ok(())
        }
        other => Err(wrong("input", &other, "a string or a list of items")),
    }
}

fn item(mut item: Params, path: &str, chat: &mut Translation) -> Result<(), ApiError> {
    item.skip(&UNSEEN_OF_ITEMS);
    let kind = item.text("type")?;
    match kind.as_deref() {
        None | Some("message") => message(&mut item, path, chat),
        Some("function_call") => {
            let (id, name) = (
                required(&mut item, "call_id")?,
                required(&mut item, "name")?,
            );
            let arguments = required(&mut item, "arguments")?;
            chat.call((&id, &name), &arguments, path);
        }
        Some("function_call_output") => {
            let id = required(&mut item, "call_id")?;
            let output = item.take("output");
            let content = texts(item.required("output", output)?);
            let mut message = json!({"role": "tool", "tool_call_id": id, "content": content});
            if let Some(name) = item.take("name") {
                message["name"] = name;
            }
            chat.message(message, path, &format!("{path}.output"));
        }
        Some("reasoning") => reasoning(&mut item, chat)?,
        Some(other) => {
            let path = format!("{path}.type");
            let message = format!(
                "{path} is {}: it must be message, function_call, function_call_output or reasoning",
                shown(other)
            );
            return Err(ApiError::parameter(path, message).coded("unsupported_parameter"));
        }
    }
    item.finish()
}

/// A message, whose role and content the chat's reader checks.
fn message(item: &mut Params, path: &str, chat: &mut Translation) {
    let mut message = Map::new();
    if let Some(role) = item.take("role") {
        message.insert("role".to_owned(), role);
    }
    if let Some(content) = item.take("content") {
        message.insert("content".to_owned(), texts(content));
    }
    chat.message(message.into(), path, &format!("{path}.content"));
}

/// Reasoning of the assistant, unless only its server can read it.
fn reasoning(item: &mut Params, chat: &mut Translation) -> Result<(), ApiError> {
    let content = item.list("content")?.unwrap_or_default();
    let summary = item.list("summary")?.unwrap_or_default();
    let told = if content.is_empty() { summary } else { content };
    for text in told.iter().filter_map(|part| part["text"].as_str()) {
        chat.think(text);
    }
    item.skip(&["encrypted_content"]);
    Ok(())
}

fn required(item: &mut Params, name: &str) -> Result<String, ApiError> {
    let text = item.text(name)?;
    item.required(name, text)
}

/// Content with texts as a chat has them. What is no text stays for the chat's reader to refuse.
fn texts(mut content: Value) -> Value {
    for part in content.as_array_mut().into_iter().flatten() {
        if let Some(fields) = part.as_object_mut()
            && fields
                .get("type")
                .and_then(Value::as_str)
                .is_some_and(|kind| TEXTS.contains(&kind))
        {
            fields.insert("type".to_owned(), json!("text"));
            fields.retain(|name, _| !UNSEEN.contains(&name.as_str()));
        }
    }
    content
}
