//! A request in JSON: the fields of `GenerateRequest` in the schema, by the same names, with the same meaning and the same checks.

use std::collections::BTreeMap;

use proto::{
    model::{Message, Prompt, Role, Sampling},
    verifier::{Generate, Speculation},
};
use serde::Deserialize;
use serde_json::Value;

use super::super::error::ApiError;

/// `GenerateRequest`, but for what says what chunks tell: here they tell of rounds, with all details.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    prompt: BodyPrompt,
    max_tokens: Option<u32>,
    #[serde(default)]
    sampling: BodySampling,
    #[serde(default)]
    logit_bias: BTreeMap<u32, f32>,
    seed: Option<u64>,
    #[serde(default)]
    stop: Vec<String>,
    #[serde(default)]
    speculation: BodySpeculation,
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum BodyPrompt {
    Text(String),
    Conversation(Conversation),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversation {
    messages: Vec<BodyMessage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyMessage {
    role: BodyRole,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum BodyRole {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodySampling {
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodySpeculation {
    #[serde(default)]
    mode: Mode,
    method: Option<String>,
    block_tokens: Option<u32>,
    #[serde(default)]
    allow_lossy: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Off,
    #[default]
    Auto,
    Required,
}

/// The request of a body.
pub(super) fn read(body: Value) -> Result<Generate, ApiError> {
    let body: Body = serde_json::from_value(body).map_err(|error| {
        let message = format!("the body is no request: {error}; docs/rounds.md describes it");
        ApiError::unreadable(axum::http::StatusCode::BAD_REQUEST, message)
    })?;
    Ok(Generate::from(body).validated()?)
}

impl From<Body> for Generate {
    fn from(body: Body) -> Self {
        Self {
            max_tokens: body.max_tokens,
            sampling: body.sampling.into(),
            logit_bias: body.logit_bias.into_iter().collect(),
            seed: body.seed,
            stop: body.stop,
            requires_drafter: matches!(body.speculation.mode, Mode::Required),
            speculation: body.speculation.into(),
            request_id: body.request_id,
            include_rounds: true,
            include_round_details: true,
            ..Self::new(body.prompt.into())
        }
    }
}

impl From<BodyPrompt> for Prompt {
    fn from(prompt: BodyPrompt) -> Self {
        match prompt {
            BodyPrompt::Text(text) => Self::Text(text),
            BodyPrompt::Conversation(Conversation { messages }) => {
                let message = |message: BodyMessage| Message {
                    role: match message.role {
                        BodyRole::System => Role::System,
                        BodyRole::User => Role::User,
                        BodyRole::Assistant => Role::Assistant,
                        BodyRole::Tool => Role::Tool,
                    },
                    content: message.content,
                };
                Self::Conversation(messages.into_iter().map(message).collect())
            }
        }
    }
}

impl From<BodySampling> for Sampling {
    fn from(body: BodySampling) -> Self {
        let absent = Self::default();
        Self {
            temperature: body.temperature.unwrap_or(absent.temperature),
            top_k: body.top_k.unwrap_or(absent.top_k),
            top_p: body.top_p.unwrap_or(absent.top_p),
            min_p: body.min_p.unwrap_or(absent.min_p),
            repetition_penalty: body.repetition_penalty.unwrap_or(absent.repetition_penalty),
            frequency_penalty: body.frequency_penalty.unwrap_or(absent.frequency_penalty),
            presence_penalty: body.presence_penalty.unwrap_or(absent.presence_penalty),
        }
    }
}

impl From<BodySpeculation> for Speculation {
    fn from(body: BodySpeculation) -> Self {
        match body.mode {
            Mode::Off => Self::Off,
            Mode::Auto | Mode::Required => Self::Auto {
                method: body.method,
                block_tokens: body.block_tokens,
                allow_lossy: body.allow_lossy,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Generate, ApiError> {
        read(serde_json::from_str(body).unwrap())
    }

    #[test]
    fn prompt_alone_is_the_request_that_grpc_makes_of_it() {
        let body = r#"{"prompt": {"text": "fn "}}"#;
        let expected = Generate {
            include_rounds: true,
            include_round_details: true,
            ..Generate::new(Prompt::Text("fn ".to_owned()))
        };
        assert_eq!(parse(body).unwrap(), expected);
    }

    #[test]
    fn every_field_arrives() {
        let body = r#"{
            "prompt": {"conversation": {"messages": [{"role": "user", "content": "Hello"}]}},
            "max_tokens": 5, "sampling": {"temperature": 0.5, "top_k": 40, "top_p": 0.9}, "logit_bias": {"7": -1.5},
            "seed": 18446744073709551615, "stop": ["\n"], "request_id": "r-1",
            "speculation": {"mode": "auto", "method": "point_mass", "block_tokens": 4, "allow_lossy": true}
        }"#;
        let request = parse(body).unwrap();
        assert_eq!(request.max_tokens, Some(5));
        assert_eq!(request.sampling.top_k, 40);
        assert_eq!(request.logit_bias, [(7, -1.5)]);
        assert_eq!(request.seed, Some(u64::MAX));
        assert_eq!(request.stop, ["\n"]);
        assert_eq!(request.request_id.as_deref(), Some("r-1"));
        let asked = Speculation::Auto {
            method: Some("point_mass".to_owned()),
            block_tokens: Some(4),
            allow_lossy: true,
        };
        assert_eq!(request.speculation, asked);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let prompt = r#""prompt": {"text": "x"}"#;
        let cases = [
            ("{}".to_owned(), "missing field `prompt`"),
            (
                format!("{{{prompt}, \"max_tokens\": 0}}"),
                "max_tokens is 0",
            ),
            (
                format!("{{{prompt}, \"max_token\": 1}}"),
                "unknown field `max_token`",
            ),
            (
                format!("{{{prompt}, \"sampling\": {{\"temperature\": 3}}}}"),
                "temperature is 3: it must be 0 to 2",
            ),
            (
                format!("{{{prompt}, \"speculation\": {{\"mode\": \"on\"}}}}"),
                "unknown variant `on`",
            ),
        ];
        for (body, expected) in cases {
            let found = format!("{:?}", parse(&body).unwrap_err());
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
