//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{
    Router, body::Body, extract::State, http::HeaderMap, response::Response, routing::post,
};
use proto::{model::Prompt, verifier::Generate};
use serde_json::{Value, json};

use super::{
    answer::answer,
    api::Api,
    endpoint::Endpoint,
    error::ApiError,
    messages,
    params::Params,
    request::{self, CompletionRequest},
};
use crate::config::Serving;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/v1/chat/completions", post(complete))
}

/// Parameters of this endpoint that this server does not have, each with the values that change nothing.
fn unsupported() -> [(&'static str, Vec<Value>); 14] {
    [
        ("audio", vec![]),
        ("function_call", vec![json!("none")]),
        ("functions", vec![json!([])]),
        ("modalities", vec![json!(["text"])]),
        ("moderation", vec![]),
        ("parallel_tool_calls", vec![]),
        ("prediction", vec![]),
        ("reasoning_effort", vec![]),
        // A grammar would have to be exact under speculation.
        ("response_format", vec![json!({"type": "text"})]),
        ("tool_choice", vec![json!("none")]),
        ("tools", vec![json!([])]),
        ("verbosity", vec![]),
        ("web_search_options", vec![]),
        ("enable_thinking", vec![]),
    ]
}

async fn complete(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    answer(api, (Endpoint::Chat, read), &headers, body).await
}

/// The request in a body.
fn read(mut params: Params, serving: &Serving, id: &str) -> Result<CompletionRequest, ApiError> {
    request::model(&mut params, serving)?;
    let messages = params.list("messages")?;
    let messages = params.required("messages", messages)?;
    let prompt = Prompt::Conversation(messages::parse("messages", messages)?);
    let mut request = Generate::new(prompt.clone());
    request.max_tokens = max_tokens(&mut params)?;
    request.top_logprobs = top_logprobs(&mut params)?;
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    request::completion(params, &[prompt], request, (serving, id))
}

/// `max_completion_tokens`, or `max_tokens`, its old name.
fn max_tokens(params: &mut Params) -> Result<Option<u32>, ApiError> {
    let old = params.count("max_tokens")?;
    let new = params.count("max_completion_tokens")?;
    if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        let message = format!(
            "max_tokens is {old} and max_completion_tokens is {new}: they mean the same, so one must be left out"
        );
        return Err(ApiError::parameter("max_tokens", message));
    }
    Ok(new.or(old))
}

fn top_logprobs(params: &mut Params) -> Result<Option<u32>, ApiError> {
    let is_asked = params.flag("logprobs")?.unwrap_or(false);
    match params.count("top_logprobs")? {
        Some(count) if count > 0 && !is_asked => {
            let message = "top_logprobs is given without logprobs: set logprobs to true";
            Err(ApiError::parameter("top_logprobs", message))
        }
        count => Ok(is_asked.then_some(count.unwrap_or(0))),
    }
}
