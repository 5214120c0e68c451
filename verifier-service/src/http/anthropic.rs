//! `POST /v1/messages`: Anthropic's API, of which each request is a chat in another shape. Its errors have a shape of their own.

mod answer;
mod content;
mod events;
mod fault;
mod request;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::json;
use tracing::Instrument as _;

use self::{answer::MessageFrame, events::MessageEvents};
use super::{
    api::Api,
    blocks, endpoint,
    error::ApiError,
    exchange::{Exchange, call_span},
    narration, translation,
};

const MESSAGES: &str = "/v1/messages";
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

pub(super) fn routes() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for path in endpoint::paths("messages") {
        router = router.route(&path, post(create));
    }
    for path in endpoint::paths("messages/count_tokens") {
        router = router.route(&path, post(count_tokens));
    }
    router
}

async fn create(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    let exchange = Exchange::new(api, &headers);
    let span = call_span(MESSAGES, &headers);
    let answered = respond(&exchange, &headers, body).instrument(span).await;
    exchange.headed(answered.unwrap_or_else(|error| fault::response(&error, &exchange.id)))
}

async fn respond(
    exchange: &Exchange,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = exchange.params(headers, body).await?;
    let limited = request::require_limit(&params);
    limited.inspect_err(|error| exchange.api.refused(error))?;
    let frame = MessageFrame::new(&exchange.api, &exchange.id, &params);
    let (request, names) = translation::read(exchange, params, request::translate)?;
    let begun = exchange.begin(request).await;
    let (options, replies) = begun.map_err(|error| names.restore(error))?;
    if options.stream.is_some() {
        let events = MessageEvents::new(frame);
        return Ok(narration::response(replies, &options.form, events));
    }
    let (blocks, finish) = blocks::whole(replies, &options.form).await?;
    Ok(Json(frame.message(blocks.all(), &finish)).into_response())
}

/// The number of tokens of a prompt, which is not read by the model.
async fn count_tokens(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    let exchange = Exchange::new(api, &headers);
    let span = call_span(COUNT_TOKENS, &headers);
    let counting = async {
        let params = exchange.params(&headers, body).await?;
        let (mut request, names) = translation::read(&exchange, params, request::translate)?;
        let Some(reply) = request.replies.pop() else {
            return Err(ApiError::fault("the request has no prompt"));
        };
        let counted = exchange.api.verifier.count_tokens(reply).await;
        counted.map_err(|error| names.restore(ApiError::from(error).about_parameter()))
    };
    let answered = counting.instrument(span).await;
    let answered = match answered {
        Ok(tokens) => Json(json!({"input_tokens": tokens})).into_response(),
        Err(error) => fault::response(&error, &exchange.id),
    };
    exchange.headed(answered)
}
