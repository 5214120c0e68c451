//! The API that OpenAI's clients speak, over HTTP. It has no ideas of its own: what arrives becomes the same
//! [`proto::verifier::Generate`] that gRPC carries, passes the same validation, and is answered by the same sessions.
//!
//! Nothing that is asked for is passed over in silence: a parameter that this API does not know or cannot honour is refused
//! by its name.

mod answer;
mod body;
mod chat;
mod completions;
mod duet;
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

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    http::{Method, Uri},
};

use self::{body::Budget, error::ApiError};
use crate::{VERSION, verification::Verifier};

/// Digits of the tokenizer's fingerprint in `system_fingerprint`.
const SHORT_FINGERPRINT: usize = 12;

/// What all handlers share.
pub(crate) struct Api {
    verifier: Arc<Verifier>,
    budget: Budget,
    /// Since when the model is served, in seconds since 1970.
    created: u64,
    /// What decides the text beside the request: model, tokenizer and build.
    system_fingerprint: String,
}

impl Api {
    /// Counts a request that is refused before it is admitted.
    fn refused(&self, error: &ApiError) {
        self.verifier.metrics().request("invalid");
        tracing::debug!(%error, "request is refused");
    }

    fn new(verifier: Arc<Verifier>) -> Self {
        let model = verifier.describe().model;
        let mut tokenizer = model.tokenizer_fingerprint.to_string();
        tokenizer.truncate(SHORT_FINGERPRINT);
        Self {
            verifier,
            budget: Budget::default(),
            created: now(),
            system_fingerprint: format!("{}_{tokenizer}_{VERSION}", model.name),
        }
    }

    /// The one model there is.
    fn model(&self) -> &str {
        &self.verifier.serving().model_name
    }

    fn check_model(&self, name: &str) -> Result<(), ApiError> {
        if name == self.model() {
            return Ok(());
        }
        Err(ApiError::unknown_model(name, self.model()))
    }
}

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

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
