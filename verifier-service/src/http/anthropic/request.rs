//! A request to Anthropic's API, as the chat that it asks for.

use serde_json::{Value, json};

use super::{
    super::{
        error::{ApiError, shown},
        params::{Params, wrong},
        translation::{Names, ToolForm, Translation},
    },
    content,
};

/// Parameters that this server does not have, each with the values that change nothing. Those of OpenAI's chats that have
/// other names here are among them.
fn unsupported() -> [(&'static str, Vec<Value>); 14] {
    [
        ("container", vec![]),
        ("mcp_servers", vec![]),
        ("function_call", vec![]),
        ("functions", vec![]),
        ("logprobs", vec![]),
        ("max_completion_tokens", vec![]),
        ("n", vec![json!(1)]),
        ("parallel_tool_calls", vec![json!(true)]),
        ("response_format", vec![]),
        ("stop", vec![]),
        ("stream_options", vec![]),
        ("top_logprobs", vec![json!(0)]),
        ("add_generation_prompt", vec![json!(true)]),
        ("continue_final_message", vec![]),
    ]
}

/// Hints of this API, which change nothing here.
const HINTS: [&str; 9] = [
    "anthropic_version",
    "betas",
    "cache_control",
    "context_management",
    "diagnostics",
    "inference_geo",
    "speed",
    "user_profile_id",
    "workspace_id",
];

const TOOLS: ToolForm = ToolForm {
    kind: "custom",
    is_default: true,
    parameters: "input_schema",
};

/// Refuses a request to generate that has no limit, as Anthropic does.
pub(super) fn require_limit(params: &Params) -> Result<(), ApiError> {
    let limit = params.get("max_tokens");
    params.required("max_tokens", limit).map(drop)
}

/// The chat's parameters, and the client's names of them.
pub(super) fn translate(mut params: Params) -> Result<(Params, Names), ApiError> {
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    let mut chat = Translation::default();
    content::take_system(&mut params, &mut chat)?;
    content::take_messages(&mut params, &mut chat)?;
    chat.pass(&mut params, "stop_sequences", "stop");
    chat.tools(&mut params, &TOOLS)?;
    tool_choice(&mut params, &mut chat)?;
    thinking(&mut params, &mut chat)?;
    if let Some(mut output) = params.object("output_config")? {
        if let Some(effort) = output.take("effort") {
            chat.set("reasoning_effort", "output_config.effort", effort);
        }
        if let Some(format) = output.object("format")? {
            schema(format, "output_config.format", &mut chat)?;
        }
        output.finish()?;
    }
    if let Some(format) = params.object("output_format")? {
        schema(format, "output_format", &mut chat)?;
    }
    // The first event of a stream says how long the prompt is.
    let options = json!({"continuous_usage_stats": true});
    chat.set("stream_options", "stream_options", options);
    params.skip(&HINTS);
    Ok(chat.into_chat(params))
}

fn tool_choice(params: &mut Params, chat: &mut Translation) -> Result<(), ApiError> {
    let Some(mut choice) = params.object("tool_choice")? else {
        return Ok(());
    };
    let kind = choice.text("type")?;
    let kind = choice.required("type", kind)?;
    match kind.as_str() {
        "auto" | "none" => chat.set("tool_choice", "tool_choice", kind.into()),
        "any" => chat.set("tool_choice", "tool_choice", json!("required")),
        "tool" => {
            let name = choice.text("name")?;
            chat.choose(&choice.required("name", name)?);
        }
        other => {
            let message = format!(
                "tool_choice.type is {}: it must be auto, any, tool or none",
                shown(other)
            );
            return Err(ApiError::parameter("tool_choice.type", message));
        }
    }
    if let Some(is_single) = choice.flag("disable_parallel_tool_use")? {
        let client = "tool_choice.disable_parallel_tool_use";
        chat.set("parallel_tool_calls", client, json!(!is_single));
    }
    choice.finish()
}

/// Takes whether the model is to think. How long is up to it.
fn thinking(params: &mut Params, chat: &mut Translation) -> Result<(), ApiError> {
    let Some(mut thinking) = params.object("thinking")? else {
        return Ok(());
    };
    let kind = thinking.text("type")?;
    let thinks = match thinking.required("type", kind)?.as_str() {
        "enabled" | "adaptive" => true,
        "disabled" => false,
        other => {
            let message = format!(
                "thinking.type is {}: it must be enabled, adaptive or disabled",
                shown(other)
            );
            return Err(ApiError::parameter("thinking.type", message));
        }
    };
    chat.set("enable_thinking", "thinking.type", json!(thinks));
    if thinking.text("display")?.as_deref() == Some("omitted") {
        chat.set("include_reasoning", "thinking.display", json!(false));
    }
    thinking.skip(&["budget_tokens"]);
    thinking.finish()
}

/// Takes a schema that the reply must follow.
fn schema(mut format: Params, path: &str, chat: &mut Translation) -> Result<(), ApiError> {
    let kind = format.text("type")?;
    let kind = format.required("type", kind)?;
    if kind != "json_schema" {
        let kind = Value::from(kind);
        return Err(wrong(&format!("{path}.type"), &kind, "json_schema"));
    }
    chat.schema(format, path)
}

#[cfg(test)]
mod tests {
    use super::{super::super::translation::tests::translated, *};

    #[test]
    fn conversation_with_tools_is_the_same_chat() {
        let (chat, names) = translated(
            r#"{
            "model": "m", "max_tokens": 9, "temperature": 0, "top_k": 5, "stop_sequences": ["x"], "metadata": {"user_id": "u"},
            "system": [{"type": "text", "text": "Be ", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "brief."}],
            "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"b": 1}},
                    {"type": "tool_use", "id": "b", "name": "f", "input": {}}
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_a", "content": "sun"},
                    {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "rain"}], "is_error": false},
                    {"type": "text", "text": "And?"}
                ]}
            ],
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": null}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "thinking": {"type": "enabled", "budget_tokens": 1024}
        }"#,
            translate,
        );
        let call = |id, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
        let expected = json!({
            "model": "m", "max_tokens": 9, "temperature": 0, "top_k": 5, "stop": ["x"], "metadata": {"user_id": "u"},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": "I look.", "reasoning_content": "Hm.",
                 "tool_calls": [call("a", "{\"b\":1}"), call("b", "{}")]},
                {"role": "tool", "tool_call_id": "a", "content": "sun"},
                {"role": "tool", "tool_call_id": "b", "content": "rain"},
                {"role": "user", "content": "And?"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
            "tool_choice": "required", "parallel_tool_calls": false, "enable_thinking": true,
            "stream_options": {"continuous_usage_stats": true},
        });
        assert_eq!(chat, expected);
        for (chat, client) in [
            ("messages[0].content", "system"),
            ("messages[1].content", "messages[0].content"),
            ("messages[3].content", "messages[2].content[0].content"),
            ("tools[0].function.parameters", "tools[0].input_schema"),
            ("stop[0]", "stop_sequences[0]"),
        ] {
            let error = names.restore(ApiError::parameter(chat, "wrong"));
            assert_eq!(error.param(), Some(client));
        }
    }
}
