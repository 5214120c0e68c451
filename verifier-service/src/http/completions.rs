//! `POST /v1/completions`: text to be continued.

use std::sync::Arc;

use axum::{
    Router, body::Body, extract::State, http::HeaderMap, response::Response, routing::post,
};
use proto::{limits::MAX_TOP_LOGPROBS, model::Prompt, verifier::Generate};
use serde_json::{Value, json};

use super::{
    answer::answer,
    api::{Api, CallContext},
    constraint::Constraint,
    endpoint::{self, Endpoint},
    error::ApiError,
    output::OutputForm,
    params::{Params, wrong},
    request::{self, Begun, CompletionRequest, GrammarSource},
};
use crate::target::Target;

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
fn unsupported() -> [(&'static str, Vec<Value>); 1] {
    [("best_of", vec![json!(1)])]
}

async fn complete(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    answer(api, (Endpoint::Completions, read), &headers, body).await
}

/// The request in a body.
fn read(mut params: Params, context: CallContext<'_>) -> Result<CompletionRequest, ApiError> {
    let serving = context.serving;
    request::model(&mut params, serving)?;
    let prompt = params.take("prompt");
    let prompt = params.required("prompt", prompt)?;
    let prompts = prompts(prompt, serving.admission.in_progress)?;
    let prompts = match params.text("suffix")?.filter(|suffix| !suffix.is_empty()) {
        None => prompts,
        Some(suffix) => with_suffix(prompts, &suffix)?,
    };
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
    let echo = params.flag("echo")?.unwrap_or(false);
    if echo {
        request.prompt_logprobs = request.top_logprobs;
    }
    let constraint = Constraint::take(&mut params)?;
    request.grammar = constraint.as_ref().map(Constraint::grammar);
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    let begun = Begun {
        echo: echo.then(|| prompts.iter().map(|p| echoed(p, context.target)).collect()),
        prompts,
        request,
        form: OutputForm::default(),
        grammar: constraint.map(|asked| GrammarSource {
            param: asked.param,
            is_optional: false,
        }),
    };
    request::completion(params, begun, context)
}

/// A prompt as text.
fn echoed(prompt: &Prompt, target: &Target) -> String {
    match prompt {
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(ids) => target.text_of(ids),
        Prompt::Infill { prefix, .. } => prefix.clone(),
        Prompt::Conversation(_) => String::new(),
    }
}

/// Texts with a gap after them.
fn with_suffix(prompts: Vec<Prompt>, suffix: &str) -> Result<Vec<Prompt>, ApiError> {
    let with_gap = |prompt| {
        let Prompt::Text(prefix) = prompt else {
            let message = "suffix is given beside token ids: prompt must be a text";
            return Err(ApiError::parameter("suffix", message));
        };
        Ok(Prompt::Infill {
            prefix,
            suffix: suffix.to_owned(),
        })
    };
    prompts.into_iter().map(with_gap).collect()
}

/// The prompts: one text or one list of token ids, or a list of either that are answered at once.
fn prompts(value: Value, limit: usize) -> Result<Vec<Prompt>, ApiError> {
    let expected = "a string, a list of token ids, or a list of these";
    match value {
        Value::String(text) => Ok(vec![Prompt::Text(text)]),
        Value::Array(ids) if ids.first().is_some_and(Value::is_number) => {
            Ok(vec![Prompt::Tokens(token_ids("prompt", &ids)?)])
        }
        Value::Array(items) if items.is_empty() || items.len() > limit => {
            let found = items.len();
            let message = format!("prompt has {found} texts: it must have 1 to {limit}");
            Err(ApiError::parameter("prompt", message))
        }
        Value::Array(items) => {
            let item = |(i, value)| match value {
                Value::String(text) => Ok(Prompt::Text(text)),
                Value::Array(ids) => Ok(Prompt::Tokens(token_ids(&format!("prompt[{i}]"), &ids)?)),
                other => Err(wrong("prompt", &other, expected)),
            };
            items.into_iter().enumerate().map(item).collect()
        }
        other => Err(wrong("prompt", &other, expected)),
    }
}

fn token_ids(path: &str, ids: &[Value]) -> Result<Vec<u32>, ApiError> {
    let ids = ids.iter().enumerate();
    ids.map(|(i, id)| request::token_id(&format!("{path}[{i}]"), id))
        .collect()
}
