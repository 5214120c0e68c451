//! `GET /v1/models`: the one model that this verifier serves.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    routing::get,
};
use serde::Serialize;

use super::{api::Api, endpoint, error::ApiError, request};

pub(super) fn routes() -> Router<Arc<Api>> {
    endpoint::paths("models")
        .into_iter()
        .fold(Router::new(), |router, path| router.route(&path, get(list)))
        // A model's name may be a path.
        .route("/v1/models/{*name}", get(one))
}

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: [Model; 1],
}

#[derive(Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// Most tokens of prompt and reply together, by the name that vLLM gives it.
    max_model_len: u32,
}

impl Model {
    fn of(api: &Api) -> Self {
        Self {
            id: api.model().to_owned(),
            object: "model",
            created: api.created,
            owned_by: "duet",
            max_model_len: api.context_length,
        }
    }
}

async fn list(State(api): State<Arc<Api>>) -> Json<List> {
    Json(List {
        object: "list",
        data: [Model::of(&api)],
    })
}

async fn one(
    State(api): State<Arc<Api>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, ApiError> {
    // A name that is not UTF-8 is not the model's.
    let name = name.map_or_else(|_| "\u{fffd}".to_owned(), |Path(name)| name);
    request::check_model(&name, api.verifier.serving())?;
    Ok(Json(Model::of(&api)))
}
