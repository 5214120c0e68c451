//! `POST /v1/responses`: OpenAI's newer API, of which each request is a chat in another shape. Nothing is kept after an answer.

mod answer;
mod events;
mod input;
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
use tracing::Instrument as _;

use self::{answer::Frame, events::ResponseEvents};
use super::{
    api::Api,
    blocks, endpoint,
    error::ApiError,
    exchange::{Exchange, call_span},
    narration, translation,
};

pub(super) fn routes() -> Router<Arc<Api>> {
    endpoint::paths("responses")
        .into_iter()
        .fold(Router::new(), |router, path| {
            router.route(&path, post(create))
        })
}

async fn create(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    let exchange = Exchange::new(api, &headers);
    let span = call_span("/v1/responses", &headers);
    let answered = respond(&exchange, &headers, body).instrument(span).await;
    exchange.headed(answered.unwrap_or_else(ApiError::into_response))
}

async fn respond(
    exchange: &Exchange,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = exchange.params(headers, body).await?;
    let frame = Frame::new(&exchange.api, &exchange.id, &params);
    let (request, names) = translation::read(exchange, params, request::translate)?;
    let begun = exchange.begin(request).await;
    let (options, replies) = begun.map_err(|error| names.restore(error))?;
    if options.stream.is_some() {
        let events = ResponseEvents::new(frame);
        return Ok(narration::response(replies, &options.form, events));
    }
    let (blocks, finish) = blocks::whole(replies, &options.form).await?;
    let response = frame.response(&answer::State::Finished(&finish), blocks.all());
    Ok(Json(response).into_response())
}
