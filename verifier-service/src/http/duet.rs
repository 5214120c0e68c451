//! The endpoints that only Duet has, as JSON: a reply as server-sent events that report each round token by token, and a
//! description of this verifier. `docs/rounds.md` documents both for other tools; the page at `/` is one of them.

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
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tracing::Instrument as _;

use self::events::{ChunkEvent, FinishEvent};
use super::{api::Api, error::ApiError, exchange::call_span};
use crate::{error::GenerateError, verification::Parts};

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
    let span = call_span("/duet/v1/generate", &headers);
    let parts = begin(&api, &headers, body).instrument(span).await?;
    let events = ReceiverStream::new(parts).map(event);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn begin(api: &Api, headers: &HeaderMap, body: Body) -> Result<Parts, ApiError> {
    let read = async { request::read(api.budget.read(headers, body).await?) };
    let request = read.await.inspect_err(|error| api.refused(error))?;
    Ok(api.verifier.admit(request).await?.start())
}

/// A part as an event. An error here would end the connection; JSON in memory gives none.
fn event(part: Result<Part, GenerateError>) -> Result<Event, axum::Error> {
    let event = Event::default();
    match part {
        // The request of this endpoint does not ask for it.
        Ok(Part::Reading(_)) => Ok(event.comment("the prompt is read")),
        Ok(Part::Chunk(chunk)) => event.event("chunk").json_data(ChunkEvent::from(chunk)),
        Ok(Part::Finish(finish)) => event.event("finish").json_data(FinishEvent::from(*finish)),
        Err(error) => event
            .event("error")
            .json_data(ApiError::from(error).into_body()),
    }
}
