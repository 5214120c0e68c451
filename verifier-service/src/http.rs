//! The API that OpenAI's clients speak, over HTTP. It adds nothing of its own: a request becomes the same
//! [`proto::verifier::Generate`] that gRPC carries, passes the same validation, and is answered by the same sessions.
//!
//! What would change the text is honoured, or refused by its name. What asks for nothing or is only a hint passes. Unknown
//! parameters are ignored and named in a header of the answer, or refused with `--strict-parameters`.

mod answer;
mod api;
mod body;
mod chat;
mod completions;
mod duet;
mod endpoint;
mod error;
mod events;
mod health;
mod logprobs;
mod messages;
mod models;
mod page;
mod params;
mod replies;
mod request;
mod response;
mod whole;

use std::sync::Arc;

use axum::{
    Router,
    http::{Method, Uri},
};

use self::{api::Api, error::ApiError};
use crate::verification::Verifier;

/// Everything that the HTTP port serves.
pub(crate) fn router(verifier: Arc<Verifier>) -> Router {
    Router::new()
        .merge(chat::routes())
        .merge(completions::routes())
        .merge(models::routes())
        .merge(health::routes())
        .merge(duet::routes())
        .merge(page::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::new(Api::new(verifier)))
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::unknown_path(uri.path())
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::wrong_method(&method, uri.path())
}
