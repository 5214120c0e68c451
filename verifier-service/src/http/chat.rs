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
    endpoint::{self, Endpoint},
    error::ApiError,
    messages,
    params::Params,
    request::{self, CompletionRequest},
};
use crate::config::Serving;

pub(super) fn routes() -> Router<Arc<Api>> {
    endpoint::paths("chat/completions")
        .into_iter()
        .fold(Router::new(), |router, path| {
            router.route(&path, post(complete))
        })
}

/// Parameters of this endpoint that this server does not have, each with the values that change nothing.
fn unsupported() -> [(&'static str, Vec<Value>); 14] {
    [
        ("audio", vec![]),
        ("function_call", vec![json!("none"), json!("auto")]),
        ("functions", vec![]),
        ("modalities", vec![json!(["text"])]),
        ("moderation", vec![]),
        ("tool_choice", vec![json!("none"), json!("auto")]),
        ("tools", vec![]),
        ("web_search_options", vec![]),
        ("add_generation_prompt", vec![json!(true)]),
        ("chat_template", vec![]),
        ("chat_template_kwargs", vec![]),
        ("continue_final_message", vec![]),
        ("documents", vec![]),
        ("enable_thinking", vec![]),
    ]
}

/// Hints of this endpoint, which change nothing here: how hard to think and how much to say is up to the model.
const HINTS: [&str; 7] = [
    "include_reasoning",
    "parallel_tool_calls",
    "prediction",
    "reasoning_effort",
    "separate_reasoning",
    "stream_reasoning",
    "verbosity",
];

async fn complete(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    answer(api, (Endpoint::Chat, read), &headers, body).await
}

/// The request in a body.
fn read(mut params: Params, serving: &Serving, id: &str) -> Result<CompletionRequest, ApiError> {
    request::model(&mut params, serving)?;
    let prompt = Prompt::Conversation(messages::take(&mut params)?);
    let mut request = Generate::new(prompt.clone());
    request.max_tokens = request::max_completion_tokens(&mut params, serving)?;
    request.top_logprobs = top_logprobs(&mut params)?;
    if params.is("tool_choice", "none") {
        // Tools that must not be called ask for nothing.
        params.skip(&["tools", "tool_choice"]);
    }
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    params.skip(&HINTS);
    request::completion(params, &[prompt], request, (serving, id))
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
