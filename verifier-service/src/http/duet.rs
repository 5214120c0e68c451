//! What only Duet has, as JSON: a reply as server-sent events that tell of each round token by token, and what this verifier
//! is. `docs/rounds.md` documents both for other tools; the page at `/` is one of them.

mod events;
mod request;
mod state;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use proto::verifier::Part;
use serde_json::Value;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};

use self::events::{ChunkEvent, FinishEvent};
use super::{Api, error::ApiError};
use crate::error::GenerateError;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/duet/v1/generate", post(generate))
        .route("/duet/v1/describe", get(describe))
}

async fn describe(State(api): State<Arc<Api>>) -> Json<state::Description> {
    Json(api.verifier.describe().into())
}

async fn generate(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, ApiError> {
    let fields = api.budget.read(&headers, body).await?;
    let request = request::read(Value::Object(fields))?;
    let parts = api.verifier.admit(request).await?.start();
    let events = ReceiverStream::new(parts).map(event);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// An error of its own ends the connection; none of the three can fail.
fn event(part: Result<Part, GenerateError>) -> Result<Event, axum::Error> {
    let event = Event::default();
    match part {
        Ok(Part::Chunk(chunk)) => event.event("chunk").json_data(ChunkEvent::from(chunk)),
        Ok(Part::Finish(finish)) => event.event("finish").json_data(FinishEvent::from(*finish)),
        Err(error) => event
            .event("error")
            .json_data(ApiError::from(error).into_body()),
    }
}
