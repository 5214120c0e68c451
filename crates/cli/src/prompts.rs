//! Prompts from a file of JSON lines.

use std::collections::HashSet;
use std::path::Path;

use proto::limits;
use proto::model::{Message, Prompt, Role};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::runtime::Exit;

/// Largest file in bytes, and most prompts in it.
const MAX_FILE_BYTES: u64 = 16 << 20;
const MAX_PROMPTS: usize = 10_000;

/// A prompt with its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedPrompt {
    pub(crate) id: String,
    pub(crate) prompt: Prompt,
}

/// Reads every prompt, or names the line and field that is wrong.
pub(crate) fn read(path: &Path) -> Result<Vec<NamedPrompt>, Exit> {
    let unread = |why: String| Exit::usage(format!("--prompts {}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| unread(error.to_string()))?;
    if size.len() > MAX_FILE_BYTES {
        return Err(unread(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
    parse(&text).map_err(unread)
}

fn parse(text: &str) -> Result<Vec<NamedPrompt>, String> {
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

fn prompt(line: &str) -> Result<NamedPrompt, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    if !value.is_object() {
        return Err("it must be an object".to_owned());
    }
    let line: Line = serde_path_to_error::deserialize(value).map_err(explain)?;
    if line.id.is_empty() {
        return Err("id is empty".to_owned());
    }
    let prompt = match (line.prompt, line.messages) {
        (Some(_), Some(_)) => return Err("messages: leave it out, prompt is there".to_owned()),
        (None, None) => return Err("prompt is missing, and so is messages".to_owned()),
        (Some(text), None) if text.is_empty() => return Err("prompt is empty".to_owned()),
        (Some(text), None) => Prompt::Text(text),
        (None, Some(messages)) => conversation(messages)?,
    };
    Ok(NamedPrompt {
        id: line.id,
        prompt,
    })
}

fn conversation(messages: Vec<LineMessage>) -> Result<Prompt, String> {
    let (count, most) = (messages.len(), limits::MAX_MESSAGES);
    if count == 0 || count > most {
        return Err(format!("messages has {count}: 1 to {most} are taken"));
    }
    let messages = messages
        .into_iter()
        .map(|message| Message::new(message.role.into(), message.content));
    Ok(Prompt::chat(messages.collect()))
}

/// The error with the path of its field, where it has one.
fn explain(error: serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    match path.as_str() {
        "." => error.into_inner().to_string(),
        _ => format!("{path}: {}", error.into_inner()),
    }
}

/// A line as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    #[serde(default, deserialize_with = "present")]
    prompt: Option<String>,
    #[serde(default, deserialize_with = "present")]
    messages: Option<Vec<LineMessage>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineMessage {
    role: LineRole,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineRole {
    System,
    User,
    Assistant,
    Tool,
}

impl From<LineRole> for Role {
    fn from(role: LineRole) -> Self {
        match role {
            LineRole::System => Self::System,
            LineRole::User => Self::User,
            LineRole::Assistant => Self::Assistant,
            LineRole::Tool => Self::Tool,
        }
    }
}

/// Reads a field that may be absent but not null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    field: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_and_messages_are_read_and_blank_lines_passed_over() {
        let text = "{\"id\": \"a\", \"prompt\": \"fn \"}\n\n\
                    {\"id\": \"b\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\r\n";
        let message = Message::new(Role::User, "Hi".to_owned());
        let named = |id: &str, prompt| NamedPrompt {
            id: id.to_owned(),
            prompt,
        };
        let expected = vec![
            named("a", Prompt::Text("fn ".to_owned())),
            named("b", Prompt::chat(vec![message])),
        ];
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn bad_lines_are_refused_by_line_and_field() {
        let good = r#"{"id": "good", "prompt": "x"}"#;
        for (line, said) in [
            ("{", "line 2: not JSON"),
            ("[]", "line 2: it must be an object"),
            (r#"{"prompt": "x"}"#, "line 2: missing field `id`"),
            (r#"{"id": 3, "prompt": "x"}"#, "line 2: id: invalid type"),
            (r#"{"id": "a"}"#, "line 2: prompt is missing"),
            (
                r#"{"id": "a", "prompt": 3}"#,
                "line 2: prompt: invalid type",
            ),
            (r#"{"id": "a", "prompt": ""}"#, "line 2: prompt is empty"),
            (
                r#"{"id": "a", "prompt": null}"#,
                "line 2: prompt: invalid type",
            ),
            (
                r#"{"id": "a", "promt": "x"}"#,
                "line 2: promt: unknown field `promt`",
            ),
            (r#"{"id": "good", "prompt": "x"}"#, "line 2: id \"good\" is"),
            (
                r#"{"id": "a", "prompt": "x", "messages": []}"#,
                "line 2: messages:",
            ),
            (
                r#"{"id": "a", "messages": 1}"#,
                "line 2: messages: invalid type",
            ),
            (r#"{"id": "a", "messages": []}"#, "line 2: messages has 0"),
            (
                r#"{"id": "a", "messages": [1]}"#,
                "line 2: messages[0]: invalid type",
            ),
            (
                r#"{"id": "a", "messages": [{"role": "bot", "content": "x"}]}"#,
                "line 2: messages[0].role: unknown variant `bot`",
            ),
            (
                r#"{"id": "a", "messages": [{"role": "user"}]}"#,
                "line 2: messages[0]: missing field `content`",
            ),
        ] {
            let error = parse(&format!("{good}\n{line}\n")).unwrap_err();
            assert!(error.starts_with(said), "{line}: {error}");
        }
        assert_eq!(parse("\n"), Err("it has no prompts".to_owned()));
    }
}
