//! The API that OpenAI's clients speak, over HTTP. It adds nothing of its own: a request becomes the same
//! [`proto::verifier::Generate`] that gRPC carries, passes the same validation, and is answered by the same sessions.
//!
//! Nothing that a client asks for is ignored silently: a parameter that this API does not know or cannot honour is refused by
//! its name.

mod answer;
mod api;
mod body;
mod chat;
mod completions;
mod duet;
mod endpoint;
mod error;
mod events;
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
