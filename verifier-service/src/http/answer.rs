//! From a body to an answer, whole or as a stream of events: what both endpoints do alike.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use tracing::Instrument as _;

use super::{
    Api, chat, completions,
    error::ApiError,
    events::Events,
    now,
    params::Params,
    replies::Replies,
    request::Asked,
    response::{Endpoint, Envelope},
    whole::Whole,
};
use crate::verification;

/// Header with the id of a request: the client's own, or one that is made here. The answer has it, too.
const REQUEST_ID: &str = "x-request-id";
/// Two names for one parameter.
const MAX_TOKENS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Answers a request.
pub(super) async fn answer(
    api: Arc<Api>,
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let span = call(endpoint.path(), headers);
    let id = request_id(headers);
    let answered = respond(&api, endpoint, (headers, body), &id).instrument(span);
    let mut response = answered.await.unwrap_or_else(ApiError::into_response);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The span of a call, in its client's trace.
pub(super) fn call(path: &'static str, headers: &HeaderMap) -> tracing::Span {
    let span = tracing::info_span!(
        "call",
        otel.name = path,
        otel.kind = "server",
        http.route = path
    );
    chassis::trace::adopt(&span, headers);
    span
}

async fn respond(
    api: &Arc<Api>,
    endpoint: Endpoint,
    (headers, body): (&HeaderMap, Body),
    id: &str,
) -> Result<Response, ApiError> {
    let refused = |error: &ApiError| api.refused(error);
    let fields = api.budget.read(headers, body).await.inspect_err(refused)?;
    let has = |name| fields.get(name).is_some_and(|value| !value.is_null());
    let by_its_new_name = has(MAX_TOKENS[1]) && !has(MAX_TOKENS[0]);
    let params = Params::new(fields);
    let serving = api.verifier.serving();
    let asked = match endpoint {
        Endpoint::Chat => chat::asked(params, serving, id),
        Endpoint::Completions => completions::asked(params, serving, id),
    };
    let begun = match asked.inspect_err(refused) {
        Ok(mut asked) => {
            let requests = std::mem::take(&mut asked.requests);
            let replies = Replies::begin(&api.verifier, requests).await;
            replies.map(|replies| (asked, replies))
        }
        Err(error) => Err(error),
    };
    let (asked, replies) = begun.map_err(|error| {
        if by_its_new_name {
            error.renamed(MAX_TOKENS[0], MAX_TOKENS[1])
        } else {
            error
        }
    })?;
    reply(Envelope::new(endpoint, api, id, now()), asked, replies).await
}

async fn reply(envelope: Envelope, asked: Asked, replies: Replies) -> Result<Response, ApiError> {
    let Some(streaming) = asked.stream else {
        let whole = Whole::read(replies, &envelope, &asked).await?;
        let kind = [(CONTENT_TYPE, "application/json")];
        return Ok((kind, whole).into_response());
    };
    let headers = [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    let events = Events::new(replies, envelope, asked.choices, streaming);
    Ok((headers, Body::from_stream(events)).into_response())
}

/// The client's id for its request, or a new one. Whether it can be one is for the request's validation to say.
fn request_id(headers: &HeaderMap) -> String {
    match headers.get(REQUEST_ID) {
        Some(id) if !id.is_empty() => String::from_utf8_lossy(id.as_bytes()).into_owned(),
        _ => verification::fresh_id(),
    }
}
