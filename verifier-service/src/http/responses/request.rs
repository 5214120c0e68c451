//! A request to the Responses API, as the chat that it asks for.

use serde_json::{Value, json};

use super::{
    super::{
        error::{ApiError, shown},
        params::{Params, wrong},
        translation::{Names, ToolForm, Translation},
    },
    input,
};

/// Parameters that this server does not have, each with the values that change nothing. Those of the older APIs, which have
/// other names here, are among them.
fn unsupported() -> [(&'static str, Vec<Value>); 13] {
    [
        // Nothing is kept from one request to the next.
        ("background", vec![]),
        ("conversation", vec![]),
        ("previous_response_id", vec![]),
        ("prompt", vec![]),
        ("top_logprobs", vec![json!(0)]),
        ("function_call", vec![]),
        ("functions", vec![]),
        ("logprobs", vec![]),
        ("max_completion_tokens", vec![]),
        ("max_tokens", vec![]),
        ("messages", vec![]),
        ("n", vec![json!(1)]),
        ("response_format", vec![]),
    ]
}

/// Hints of this API, which change nothing here.
const HINTS: [&str; 8] = [
    "access_programs",
    "background_options",
    "client_metadata",
    "context_management",
    "image",
    "max_tool_calls",
    "prompt_cache_options",
    // A prompt that is too long is refused, whatever may be cut from it.
    "truncation",
];

const TOOLS: ToolForm = ToolForm {
    kind: "function",
    is_default: false,
    parameters: "parameters",
};

/// The one thing that `include` may ask for and that would change the answer here.
const LOGPROBS: &str = "message.output_text.logprobs";

/// The chat's parameters, and the client's names of them.
pub(super) fn translate(mut params: Params) -> Result<(Params, Names), ApiError> {
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    let mut chat = Translation::default();
    chat.names.add("messages", "input");
    if let Some(text) = params.text("instructions")?.filter(|text| !text.is_empty()) {
        let message = json!({"role": "system", "content": text});
        chat.message(message, "instructions", "instructions");
    }
    input::take(&mut params, &mut chat)?;
    chat.pass(&mut params, "max_output_tokens", "max_completion_tokens");
    chat.tools(&mut params, &TOOLS)?;
    tool_choice(&mut params, &mut chat)?;
    text(&mut params, &mut chat)?;
    if let Some(mut reasoning) = params.object("reasoning")? {
        if let Some(effort) = reasoning.take("effort") {
            chat.set("reasoning_effort", "reasoning.effort", effort);
        }
        reasoning.skip(&["context", "generate_summary", "mode", "summary"]);
        reasoning.finish()?;
    }
    let included = params.list("include")?.unwrap_or_default();
    if let Some(i) = included.iter().position(|name| name == LOGPROBS) {
        let path = format!("include[{i}]");
        let message = format!("{path} is {LOGPROBS}: log probabilities are served to chats only");
        return Err(ApiError::parameter(path, message).coded("unsupported_parameter"));
    }
    params.skip(&HINTS);
    Ok(chat.into_chat(params))
}

fn tool_choice(params: &mut Params, chat: &mut Translation) -> Result<(), ApiError> {
    match params.take("tool_choice") {
        None => {}
        Some(choice @ Value::String(_)) => chat.set("tool_choice", "tool_choice", choice),
        Some(choice @ Value::Object(_)) => {
            let mut choice = params.within("tool_choice".to_owned(), choice)?;
            let kind = choice.text("type")?;
            let kind = choice.required("type", kind)?;
            if kind != "function" {
                let message = format!("tool_choice.type is {}: it must be function", shown(&kind));
                return Err(ApiError::parameter("tool_choice.type", message));
            }
            let name = choice.text("name")?;
            chat.choose(&choice.required("name", name)?);
        }
        Some(other) => {
            let expected = "none, auto, required, or an object that names a function";
            return Err(wrong("tool_choice", &other, expected));
        }
    }
    Ok(())
}

/// Takes the form of the text.
fn text(params: &mut Params, chat: &mut Translation) -> Result<(), ApiError> {
    let Some(mut text) = params.object("text")? else {
        return Ok(());
    };
    text.skip(&["verbosity"]);
    if let Some(mut format) = text.object("format")? {
        let kind = format.text("type")?;
        let kind = format.required("type", kind)?;
        match kind.as_str() {
            "text" => format.finish()?,
            "json_object" => {
                let json_object = json!({"type": "json_object"});
                chat.set("response_format", "text.format", json_object);
                format.finish()?;
            }
            "json_schema" => chat.schema(format, "text.format")?,
            other => {
                let path = format.path("type");
                let message = format!(
                    "{path} is {}: it must be text, json_object or json_schema",
                    shown(other)
                );
                return Err(ApiError::parameter(path, message));
            }
        }
    }
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::{super::super::translation::tests::translated, *};

    #[test]
    fn conversation_with_tools_is_the_same_chat() {
        let (chat, _) = translated(
            r#"{
            "model": "m", "instructions": "Be brief.", "max_output_tokens": 9, "temperature": 0, "seed": 7,
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
                {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                 "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]},
                {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}", "status": "completed"},
                {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": "sun"},
                {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "rain"}]}
            ],
            "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}],
            "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": false,
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
            "reasoning": {"effort": "low", "summary": "auto"}, "truncation": "disabled", "include": ["reasoning.encrypted_content"],
            "store": false
        }"#,
            translate,
        );
        let call = |id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let expected = json!({
            "model": "m", "max_completion_tokens": 9, "temperature": 0, "seed": 7, "store": false,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "I look."}], "reasoning_content": "Hm.",
                 "tool_calls": [call("a"), call("b")]},
                {"role": "tool", "tool_call_id": "a", "content": "sun"},
                {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "rain"}]},
            ],
            "tools": [{"type": "function", "function":
                {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
            "reasoning_effort": "low",
        });
        assert_eq!(chat, expected);
    }

    #[test]
    fn names_are_the_clients() {
        let (_, names) = translated(
            r#"{"instructions": "x", "input": [
                {"type": "reasoning", "summary": []}, {"role": "user", "content": "a"},
                {"type": "function_call_output", "call_id": "a", "output": "b"}
            ]}"#,
            translate,
        );
        for (chat, client) in [
            ("messages[0].content", "instructions"),
            ("messages[1].content[0].type", "input[1].content[0].type"),
            ("messages[2].content[0].type", "input[2].output[0].type"),
            ("messages", "input"),
        ] {
            let error = ApiError::parameter(chat, format!("{chat} is wrong"));
            let error = names.restore(error);
            assert_eq!(error.param(), Some(client));
            assert_eq!(error.message(), format!("{client} is wrong"));
        }
    }
}
