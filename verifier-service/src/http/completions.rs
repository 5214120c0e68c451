//! `POST /v1/completions`: text to be continued.

use std::sync::Arc;

use axum::{
    Router, body::Body, extract::State, http::HeaderMap, response::Response, routing::post,
};
use proto::{limits::MAX_TOP_LOGPROBS, model::Prompt, verifier::Generate};
use serde_json::{Value, json};

use super::{
    answer::answer,
    api::Api,
    endpoint::{self, Endpoint},
    error::ApiError,
    params::{Params, wrong},
    request::{self, CompletionRequest},
};
use crate::config::Serving;

/// Default of `max_tokens`, as OpenAI's clients expect of this endpoint.
const DEFAULT_MAX_TOKENS: u32 = 16;
/// Most alternatives of a token on this endpoint.
const MAX_LOGPROBS: u32 = MAX_TOP_LOGPROBS;

pub(super) fn routes() -> Router<Arc<Api>> {
    endpoint::paths("completions")
        .into_iter()
        .fold(Router::new(), |router, path| {
            router.route(&path, post(complete))
        })
}

/// Parameters of this endpoint that this server does not have, each with the values that change nothing.
fn unsupported() -> [(&'static str, Vec<Value>); 2] {
    [("best_of", vec![json!(1)]), ("suffix", vec![])]
}

async fn complete(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    answer(api, (Endpoint::Completions, read), &headers, body).await
}

/// The request in a body.
fn read(mut params: Params, serving: &Serving, id: &str) -> Result<CompletionRequest, ApiError> {
    request::model(&mut params, serving)?;
    let prompt = params.take("prompt");
    let prompt = params.required("prompt", prompt)?;
    let prompts = prompts(prompt, serving.admission.in_progress)?;
    let mut request = Generate::new(Prompt::Text(String::new()));
    let is_limited = params.has("max_tokens") || params.has("max_completion_tokens");
    let asked = request::max_completion_tokens(&mut params, serving)?;
    let default = Some(DEFAULT_MAX_TOKENS.min(serving.max_tokens));
    request.max_tokens = if is_limited { asked } else { default };
    request.top_logprobs = params.count("logprobs")?;
    if let Some(count) = request.top_logprobs
        && count > MAX_LOGPROBS
    {
        let message = format!("logprobs is {count}: it must be 0 to {MAX_LOGPROBS}");
        return Err(ApiError::parameter("logprobs", message));
    }
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    request::completion(params, &prompts, request, (serving, id))
}

/// The prompts: one text, or a list of texts that are answered at once.
fn prompts(value: Value, limit: usize) -> Result<Vec<Prompt>, ApiError> {
    let expected = "a string or a list of strings; token ids are not taken";
    match value {
        Value::String(text) => Ok(vec![Prompt::Text(text)]),
        Value::Array(texts) if texts.is_empty() || texts.len() > limit => {
            let found = texts.len();
            let message = format!("prompt has {found} texts: it must have 1 to {limit}");
            Err(ApiError::parameter("prompt", message))
        }
        Value::Array(texts) => {
            let text = |value| match value {
                Value::String(text) => Ok(Prompt::Text(text)),
                other => Err(wrong("prompt", &other, expected)),
            };
            texts.into_iter().map(text).collect()
        }
        other => Err(wrong("prompt", &other, expected)),
    }
}
