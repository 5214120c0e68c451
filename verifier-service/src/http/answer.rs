//! From a body to an answer, whole or as a stream of events: what both of OpenAI's older endpoints do alike.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use tracing::Instrument as _;

use super::{
    api::{Api, now},
    endpoint::Endpoint,
    error::ApiError,
    events,
    exchange::{Exchange, Read, call_span},
    replies::Replies,
    request::AnswerOptions,
    response::Envelope,
    whole,
};

/// Answers a request to `endpoint`, whose parameters `read` takes out of the body.
pub(super) async fn answer(
    api: Arc<Api>,
    (endpoint, read): (Endpoint, Read),
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let exchange = Exchange::new(api, headers);
    let answering = async {
        let params = exchange.params(headers, body).await?;
        let request = exchange.read(params, read)?;
        let (options, replies) = exchange.begin(request).await?;
        let envelope = Envelope::new(endpoint, &exchange.api, &exchange.id, now());
        respond(envelope, options, replies).await
    };
    let span = call_span(endpoint.path(), headers);
    let answered = answering.instrument(span).await;
    exchange.headed(answered.unwrap_or_else(ApiError::into_response))
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
