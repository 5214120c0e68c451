//! Health and version, at the paths where routers and load generators look for them.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{api::Api, error::ApiError};
use crate::VERSION;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/health", get(health))
        .route("/v1/health", get(health))
        .route("/ping", get(health))
        .route("/version", get(version))
}

/// 200 while requests are taken. The port is bound only once the model is loaded, so the one other state is stopping.
async fn health(State(api): State<Arc<Api>>) -> Response {
    if api.verifier.is_stopping() {
        return ApiError::stopping().into_response();
    }
    Json(json!({"status": "ok"})).into_response()
}

async fn version() -> Json<Value> {
    Json(json!({"version": VERSION}))
}
