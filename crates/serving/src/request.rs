//! Prompt and sampling of a request as the engine takes them.

use inference::sampling::Sampling;
use proto::{ProtocolError, model};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizer::{
    prompt::Prompt,
    template::{Chat, ChatEnd, Message, Role},
};

const A_LIST: &str = "a JSON list";

/// The prompt, for [`inference::engine::Engine::encode_prompt`]. JSON within it is read here; the error names the field.
pub fn prompt(prompt: model::Prompt) -> Result<Prompt, ProtocolError> {
    Ok(match prompt {
        model::Prompt::Text(text) => Prompt::Text(text),
        model::Prompt::Conversation(conversation) => Prompt::Messages(chat(conversation)?),
        model::Prompt::Tokens(ids) => Prompt::Tokens(ids),
        model::Prompt::Infill { prefix, suffix } => Prompt::Infill { prefix, suffix },
    })
}

fn chat(conversation: model::Conversation) -> Result<Chat, ProtocolError> {
    let within = |field: &str| format!("conversation.{field}");
    let tools = json(conversation.tools.as_deref(), || within("tools"), A_LIST)?;
    let variables = conversation.template_variables.as_deref();
    let variables = json(variables, || within("template_variables"), "a JSON object")?;
    let messages = conversation.messages.into_iter().enumerate();
    let messages = messages.map(|(i, message)| {
        let calls = || within(&format!("messages[{i}].tool_calls"));
        let mut tool_calls: Vec<Value> = json(message.tool_calls.as_deref(), calls, A_LIST)?;
        tool_calls.iter_mut().for_each(read_arguments);
        Ok(Message {
            role: role(message.role),
            content: message.content,
            name: message.name,
            tool_calls,
            tool_call_id: message.tool_call_id,
            reasoning: message.reasoning,
        })
    });
    Ok(Chat {
        messages: messages.collect::<Result<_, _>>()?,
        tools,
        variables,
        end: match conversation.ending {
            model::Ending::Either => ChatEnd::Either,
            model::Ending::Answer => ChatEnd::Answer,
            model::Ending::Continue => ChatEnd::Continue,
            model::Ending::Closed => ChatEnd::Closed,
        },
    })
}

fn role(role: model::Role) -> Role {
    match role {
        model::Role::System => Role::System,
        model::Role::User => Role::User,
        model::Role::Assistant => Role::Assistant,
        model::Role::Tool => Role::Tool,
    }
}

/// OpenAI's clients send a call's arguments as the text of JSON; templates expect the object.
fn read_arguments(call: &mut Value) {
    let Some(arguments) = call.pointer_mut("/function/arguments") else {
        return;
    };
    let read = arguments.as_str().map(serde_json::from_str::<Value>);
    if let Some(Ok(read)) = read {
        *arguments = read;
    }
}

fn json<T: DeserializeOwned + Default>(
    text: Option<&str>,
    field: impl Fn() -> String,
    expected: &'static str,
) -> Result<T, ProtocolError> {
    let Some(text) = text else {
        return Ok(T::default());
    };
    serde_json::from_str(text).map_err(|error| ProtocolError::Invalid {
        field: field(),
        found: format!("text that does not fit ({error})"),
        expected: expected.to_owned(),
    })
}

/// The sampling, with what is added to the logits of single tokens.
pub fn sampling(sampling: model::Sampling, logit_bias: Vec<(u32, f32)>) -> Sampling {
    Sampling {
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: sampling.top_p,
        min_p: sampling.min_p,
        repetition_penalty: sampling.repetition_penalty,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        logit_bias,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_sampling_arrives() {
        let asked = model::Sampling {
            temperature: 0.5,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.1,
            repetition_penalty: 1.1,
            frequency_penalty: 0.2,
            presence_penalty: 0.3,
        };
        let expected = Sampling {
            temperature: 0.5,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.1,
            repetition_penalty: 1.1,
            frequency_penalty: 0.2,
            presence_penalty: 0.3,
            logit_bias: vec![(7, -1.0)],
        };
        assert_eq!(sampling(asked, vec![(7, -1.0)]), expected);
    }

    #[test]
    fn conversation_keeps_its_order_and_roles() {
        let roles = [
            (model::Role::System, Role::System),
            (model::Role::User, Role::User),
            (model::Role::Assistant, Role::Assistant),
            (model::Role::Tool, Role::Tool),
        ];
        let asked = roles.map(|(role, _)| model::Message::new(role, format!("{role:?}")));
        let expected = roles.map(|(asked, role)| Message::new(role, format!("{asked:?}")));
        let prompt = prompt(model::Prompt::chat(asked.to_vec())).unwrap();
        assert_eq!(prompt, Prompt::Messages(Chat::new(expected.to_vec())));
    }

    #[test]
    fn calls_of_tools_have_objects_as_arguments_and_bad_json_is_refused_by_name() {
        let mut message = model::Message::new(model::Role::Assistant, "");
        let calls =
            r#"[{"type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]"#;
        message.tool_calls = Some(calls.to_owned());
        let Ok(Prompt::Messages(chat)) = prompt(model::Prompt::chat(vec![message.clone()])) else {
            panic!("the calls are JSON")
        };
        let arguments = &chat.messages[0].tool_calls[0]["function"]["arguments"];
        assert_eq!(arguments["a"], 1);
        message.tool_calls = Some("{}".to_owned());
        let error = prompt(model::Prompt::chat(vec![message])).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("conversation.messages[0].tool_calls is text that")
        );
    }
}
