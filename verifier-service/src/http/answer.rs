//! From a body to an answer, whole or as a stream of events: what both endpoints do alike.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue,
        header::{CONTENT_TYPE, HOST},
    },
    response::{IntoResponse as _, Response},
};
use tracing::Instrument as _;

use super::{
    api::{Api, CallContext, now},
    endpoint::Endpoint,
    error::ApiError,
    events, ignored,
    params::{Ignored, Params},
    replies::Replies,
    request::{AnswerOptions, CompletionRequest},
    response::Envelope,
    whole,
};
use crate::verification;

/// Header with the id of a request: the client's own, or a new one. The answer has it, too.
const REQUEST_ID: &str = "x-request-id";
/// Two names of one parameter.
const MAX_TOKENS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Reader of an endpoint's parameters.
pub(super) type Read = fn(Params, CallContext<'_>) -> Result<CompletionRequest, ApiError>;

/// Answers a request to `endpoint`, whose parameters `read` takes out of the body.
pub(super) async fn answer(
    api: Arc<Api>,
    (endpoint, read): (Endpoint, Read),
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let span = call_span(endpoint.path(), headers);
    let id = request_id(headers);
    let ignored = Ignored::default();
    let answering = async {
        let begun = begin(&api, (read, &ignored), (headers, body), &id).await;
        let (options, replies) = begun?;
        let envelope = Envelope::new(endpoint, &api, &id, now());
        respond(envelope, options, replies).await
    };
    let answered = answering.instrument(span).await;
    let mut response = answered.unwrap_or_else(ApiError::into_response);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    ignored::name(&ignored, &api, &mut response);
    response
}

/// The span of a call, in its client's trace.
pub(super) fn call_span(path: &'static str, headers: &HeaderMap) -> tracing::Span {
    let span = tracing::info_span!(
        "call",
        otel.name = path,
        otel.kind = "server",
        http.route = path
    );
    chassis::trace::adopt(&span, headers);
    if let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) {
        chassis::trace::set_server(&span, host);
    }
    span
}

/// Reads a request and begins its replies.
async fn begin(
    api: &Api,
    (read, ignored): (Read, &Ignored),
    (headers, body): (&HeaderMap, Body),
    id: &str,
) -> Result<(AnswerOptions, Replies), ApiError> {
    let refused = |error: &ApiError| api.refused(error);
    let fields = api.budget.read(headers, body).await.inspect_err(refused)?;
    let has = |name| fields.get(name).is_some_and(|value| !value.is_null());
    let by_its_new_name = has(MAX_TOKENS[1]) && !has(MAX_TOKENS[0]);
    let params = Params::new(fields, api.unknown(ignored));
    let beginning = async {
        let context = CallContext {
            serving: api.verifier.serving(),
            target: api.verifier.target(),
            id,
        };
        let request = read(params, context).inspect_err(refused)?;
        let replies = Replies::begin(&api.verifier, request.replies).await;
        let replies = replies.map_err(|error| match &request.grammar_param {
            Some(param) => error.renamed("grammar", param),
            None => error,
        })?;
        Ok((request.options, replies))
    };
    let begun: Result<_, ApiError> = beginning.await;
    begun.map_err(|error| {
        if by_its_new_name {
            error.renamed(MAX_TOKENS[0], MAX_TOKENS[1])
        } else {
            error
        }
    })
}

async fn respond(
    envelope: Envelope,
    options: AnswerOptions,
    replies: Replies,
) -> Result<Response, ApiError> {
    if let Some(streaming) = options.stream {
        return Ok(events::response(replies, envelope, options, streaming));
    }
    let whole = whole::read(replies, &envelope, &options).await?;
    let kind = [(CONTENT_TYPE, "application/json")];
    Ok((kind, whole).into_response())
}

/// The client's id for its request, or a new one. The request's validation checks it.
fn request_id(headers: &HeaderMap) -> String {
    match headers.get(REQUEST_ID) {
        Some(id) if !id.is_empty() => String::from_utf8_lossy(id.as_bytes()).into_owned(),
        _ => verification::fresh_id(),
    }
}
