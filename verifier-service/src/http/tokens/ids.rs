//! From ids to text.

use inference::engine::Engine;
use proto::limits::MAX_PROMPT_BYTES;
use serde::Serialize;
use serde_json::Value;
use tokenizer::Tokenizer;

use crate::{
    config::Serving,
    http::{
        error::ApiError,
        params::{Params, wrong},
        request,
    },
};

/// A request for the text of some ids.
pub(super) struct Detokenize {
    tokens: Vec<Value>,
}

/// The text.
#[derive(Serialize)]
pub(super) struct Spelled {
    prompt: String,
}

impl Detokenize {
    pub(super) fn read(mut params: Params, serving: &Serving) -> Result<Self, ApiError> {
        request::model(&mut params, serving)?;
        let tokens = params.list("tokens")?;
        let tokens = params.required("tokens", tokens)?;
        params.finish()?;
        Ok(Self { tokens })
    }

    /// The text of the ids, control tokens by their names. What is not UTF-8 becomes replacement characters.
    pub(super) fn answer(self, engine: &Engine) -> Result<Spelled, ApiError> {
        let tokenizer = engine.tokenizer();
        let limit = tokenizer.vocab_size() as u64;
        let mut bytes = Vec::new();
        for (i, value) in self.tokens.iter().enumerate() {
            let id = value.as_u64().filter(|id| *id < limit);
            let id = id.ok_or_else(|| {
                let expected = format!("an id from 0 to {}", limit.saturating_sub(1));
                wrong(&format!("tokens[{i}]"), value, &expected)
            })?;
            bytes.extend_from_slice(spelling(tokenizer, id as u32));
            if bytes.len() > MAX_PROMPT_BYTES {
                let message =
                    format!("tokens spell more than {MAX_PROMPT_BYTES} bytes: send fewer at once");
                return Err(ApiError::parameter("tokens", message));
            }
        }
        Ok(Spelled {
            prompt: lossy(&bytes),
        })
    }
}

/// Bytes of a token, or the name of a control token.
pub(super) fn spelling(tokenizer: &Tokenizer, id: u32) -> &[u8] {
    match tokenizer.control_name(id) {
        Some(name) => name.as_bytes(),
        None => tokenizer.token_bytes(id),
    }
}

/// Text with replacement characters for what is not UTF-8.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
