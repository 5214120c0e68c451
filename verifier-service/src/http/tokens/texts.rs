//! From text, or the messages of a chat, to ids.

use inference::engine::Engine;
use proto::{limits::MAX_PROMPT_BYTES, model::Prompt, verifier::Generate};
use serde::Serialize;
use tokenizer::Tokenizer;

use super::ids::{lossy, spelling};
use crate::{
    config::Serving,
    error::GenerateError,
    http::{chat, error::ApiError, params::Params, request, tools::Tools},
};

/// A request for ids.
pub(super) struct Tokenize {
    asked: Asked,
    /// True if the answer has the text of each token, too.
    spells: bool,
}

enum Asked {
    Text(Text),
    /// A conversation, from which the chat endpoint makes the same ids.
    Chat(Prompt),
}

struct Text {
    content: String,
    /// True if the beginning-of-sequence token comes first, for a model that wants one.
    begins: bool,
    /// True if control tokens that the text spells become these tokens; false if they stay text, as in a prompt.
    reads_controls: bool,
}

/// The ids.
#[derive(Serialize)]
pub(super) struct Encoded {
    count: usize,
    max_model_len: usize,
    tokens: Vec<u32>,
    token_strs: Option<Vec<String>>,
}

impl Tokenize {
    pub(super) fn read(mut params: Params, serving: &Serving) -> Result<Self, ApiError> {
        request::model(&mut params, serving)?;
        let spells = params.flag("return_token_strs")?.unwrap_or(false);
        let asked = if params.has("messages") {
            Asked::Chat(chat(&mut params, serving)?)
        } else {
            Asked::Text(text(&mut params)?)
        };
        params.finish()?;
        Ok(Self { asked, spells })
    }

    pub(super) fn answer(self, engine: &Engine) -> Result<Encoded, ApiError> {
        let tokenizer = engine.tokenizer();
        let tokens = match self.asked {
            Asked::Text(text) => text.encode(tokenizer),
            Asked::Chat(prompt) => {
                let prompt = serving::request::prompt(prompt);
                let prompt = prompt.map_err(|error| ApiError::from(error).about_parameter())?;
                let encoded = engine.encode_prompt(&prompt);
                encoded.map_err(|error| {
                    ApiError::from(GenerateError::Template(error)).about_parameter()
                })?
            }
        };
        let spelled = |id: &u32| lossy(spelling(tokenizer, *id));
        Ok(Encoded {
            count: tokens.len(),
            max_model_len: engine.info().context_length,
            token_strs: self.spells.then(|| tokens.iter().map(spelled).collect()),
            tokens,
        })
    }
}

impl Text {
    fn encode(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let tokens = if self.reads_controls {
            tokenizer.encode_with_specials(&self.content)
        } else {
            tokenizer.encode(&self.content)
        };
        if self.begins {
            tokenizer.begun(tokens)
        } else {
            tokens
        }
    }
}

fn text(params: &mut Params) -> Result<Text, ApiError> {
    let text = params.text("prompt")?;
    let text = params.required("prompt", text)?;
    if text.len() > MAX_PROMPT_BYTES {
        let message = format!(
            "prompt has {} bytes: it must have at most {MAX_PROMPT_BYTES}",
            text.len()
        );
        return Err(ApiError::parameter("prompt", message));
    }
    Ok(Text {
        content: text,
        begins: params.flag("add_special_tokens")?.unwrap_or(true),
        reads_controls: params.flag("parse_special")?.unwrap_or(true),
    })
}

fn chat(params: &mut Params, serving: &Serving) -> Result<Prompt, ApiError> {
    if params.has("prompt") {
        let message = "messages are given beside prompt: send one of them";
        return Err(ApiError::parameter("messages", message));
    }
    let (mut conversation, _) = chat::conversation(params, serving)?;
    conversation.tools = Tools::take(params)?.map(|tools| tools.to_json());
    for name in ["chat_template", "documents"] {
        params.refuse(name, &[])?;
    }
    // The template and the model's own rule decide, so that the ids are those of the chat endpoint.
    params.skip(&["add_special_tokens", "parse_special"]);
    let validated = Generate::new(Prompt::Conversation(conversation)).validated();
    let validated = validated.map_err(|error| ApiError::from(error).about_parameter())?;
    Ok(validated.prompt)
}
