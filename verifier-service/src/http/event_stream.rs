//! Server-sent events over HTTP.

use std::time::Duration;

use axum::{
    Error,
    http::header::CONTENT_TYPE,
    response::{
        IntoResponse as _, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use tokio_stream::Stream;

/// Silence after which a comment is sent, so that nothing on the way takes the connection for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// An answer of these events, as they come.
pub(super) fn response(
    events: impl Stream<Item = Result<Event, Error>> + Send + 'static,
) -> Response {
    let keep_alive = KeepAlive::new().interval(SILENCE).text("waiting");
    let kind = [(CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    (kind, Sse::new(events).keep_alive(keep_alive)).into_response()
}
