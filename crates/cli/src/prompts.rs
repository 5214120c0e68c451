//! Prompts from a file of JSON lines.

use std::collections::HashSet;
use std::path::Path;

use proto::limits;
use proto::model::{Message, Prompt, Role};
use serde_json::{Map, Value};

use crate::runtime::Exit;

/// Bytes of a file, and prompts in it.
const MAX_FILE_BYTES: u64 = 16 << 20;
const MAX_PROMPTS: usize = 10_000;

/// A prompt with the name that its file gives it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) prompt: Prompt,
}

/// Reads every prompt, or says which line and field is wrong.
pub(crate) fn read(path: &Path) -> Result<Vec<Named>, Exit> {
    let unread = |why: String| Exit::usage(format!("--prompts {}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| unread(error.to_string()))?;
    if size.len() > MAX_FILE_BYTES {
        return Err(unread(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
    parse(&text).map_err(unread)
}

fn parse(text: &str) -> Result<Vec<Named>, String> {
    let mut seen = HashSet::new();
    let mut prompts = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let named = prompt(line).map_err(|why| format!("line {number}: {why}"))?;
        if !seen.insert(named.id.clone()) {
            return Err(format!("line {number}: id {:?} is there already", named.id));
        }
        prompts.push(named);
    }
    match prompts.len() {
        0 => Err("it has no prompts".to_owned()),
        1..=MAX_PROMPTS => Ok(prompts),
        _ => Err(format!("it has more than {MAX_PROMPTS} prompts")),
    }
}

fn prompt(line: &str) -> Result<Named, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(fields) = value else {
        return Err("it must be an object".to_owned());
    };
    known(&fields, "", &["id", "prompt", "messages"])?;
    let id = text(&fields, "", "id")?;
    if id.is_empty() {
        return Err("id is empty".to_owned());
    }
    let prompt = match (fields.get("prompt"), fields.get("messages")) {
        (Some(_), Some(_)) => return Err("messages: leave it out, prompt is there".to_owned()),
        (None, None) => return Err("prompt is missing, and so is messages".to_owned()),
        (Some(_), None) => match text(&fields, "", "prompt")? {
            text if text.is_empty() => return Err("prompt is empty".to_owned()),
            text => Prompt::Text(text),
        },
        (None, Some(Value::Array(messages))) => conversation(messages)?,
        (None, Some(_)) => return Err("messages must be an array".to_owned()),
    };
    Ok(Named { id, prompt })
}

fn conversation(messages: &[Value]) -> Result<Prompt, String> {
    if messages.is_empty() || messages.len() > limits::MAX_MESSAGES {
        let most = limits::MAX_MESSAGES;
        return Err(format!(
            "messages has {}: 1 to {most} are taken",
            messages.len()
        ));
    }
    let messages = messages.iter().enumerate().map(|(i, message)| {
        let path = format!("messages[{i}].");
        let Value::Object(fields) = message else {
            return Err(format!("messages[{i}] must be an object"));
        };
        known(fields, &path, &["role", "content"])?;
        let role = match text(fields, &path, "role")?.as_str() {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            other => {
                let roles = "system, user, assistant or tool";
                return Err(format!("{path}role is {other:?}: it must be {roles}"));
            }
        };
        let content = text(fields, &path, "content")?;
        Ok(Message { role, content })
    });
    Ok(Prompt::Conversation(messages.collect::<Result<_, _>>()?))
}

fn text(fields: &Map<String, Value>, path: &str, field: &str) -> Result<String, String> {
    match fields.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{path}{field} must be a string")),
        None => Err(format!("{path}{field} is missing")),
    }
}

fn known(fields: &Map<String, Value>, path: &str, names: &[&str]) -> Result<(), String> {
    match fields.keys().find(|field| !names.contains(&field.as_str())) {
        Some(field) => Err(format!("{path}{field} is no field: {}", names.join(", "))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_and_messages_are_read_and_blank_lines_passed_over() {
        let text = "{\"id\": \"a\", \"prompt\": \"fn \"}\n\n\
                    {\"id\": \"b\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\r\n";
        let message = Message {
            role: Role::User,
            content: "Hi".to_owned(),
        };
        let named = |id: &str, prompt| Named {
            id: id.to_owned(),
            prompt,
        };
        let expected = vec![
            named("a", Prompt::Text("fn ".to_owned())),
            named("b", Prompt::Conversation(vec![message])),
        ];
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn bad_lines_are_refused_by_line_and_field() {
        let good = r#"{"id": "good", "prompt": "x"}"#;
        for (line, said) in [
            ("{", "line 2: not JSON"),
            ("[]", "line 2: it must be an object"),
            (r#"{"prompt": "x"}"#, "line 2: id is missing"),
            (r#"{"id": 3, "prompt": "x"}"#, "line 2: id must be a string"),
            (r#"{"id": "a"}"#, "line 2: prompt is missing"),
            (r#"{"id": "a", "prompt": 3}"#, "line 2: prompt must be"),
            (r#"{"id": "a", "prompt": ""}"#, "line 2: prompt is empty"),
            (r#"{"id": "a", "promt": "x"}"#, "line 2: promt is no field"),
            (r#"{"id": "good", "prompt": "x"}"#, "line 2: id \"good\" is"),
            (
                r#"{"id": "a", "prompt": "x", "messages": []}"#,
                "line 2: messages:",
            ),
            (r#"{"id": "a", "messages": 1}"#, "line 2: messages must be"),
            (r#"{"id": "a", "messages": []}"#, "line 2: messages has 0"),
            (
                r#"{"id": "a", "messages": [1]}"#,
                "line 2: messages[0] must be",
            ),
            (
                r#"{"id": "a", "messages": [{"role": "bot", "content": "x"}]}"#,
                "line 2: messages[0].role is \"bot\"",
            ),
            (
                r#"{"id": "a", "messages": [{"role": "user"}]}"#,
                "line 2: messages[0].content is missing",
            ),
        ] {
            let error = parse(&format!("{good}\n{line}\n")).unwrap_err();
            assert!(error.starts_with(said), "{line}: {error}");
        }
        assert_eq!(parse("\n"), Err("it has no prompts".to_owned()));
    }
}
