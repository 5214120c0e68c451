//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, at the paths and in the shapes that vLLM gives them.
//!
//! They say what the target's tokenizer makes of a text and of ids. Nothing of it takes a place or the model's thread.

mod about;
mod ids;
mod texts;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use inference::engine::Engine;
use serde::Serialize;
use tokio::time::timeout;

use self::{about::About, ids::Detokenize, texts::Tokenize};
use super::{
    api::Api,
    endpoint,
    error::ApiError,
    ignored,
    params::{Ignored, Params},
};
use crate::config::Serving;

/// Longest wait for the turn of a request: a long text keeps a core busy for a moment.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<Arc<Api>> {
    let endpoints: [(&str, MethodRouter<Arc<Api>>); 3] = [
        ("tokenize", post(tokenize)),
        ("detokenize", post(detokenize)),
        ("tokenizer_info", get(tokenizer_info)),
    ];
    let at_all_paths = |router, (name, method): (&str, MethodRouter<Arc<Api>>)| {
        let paths = endpoint::paths(name).into_iter();
        paths.fold(router, |router: Router<Arc<Api>>, path| {
            router.route(&path, method.clone())
        })
    };
    endpoints.into_iter().fold(Router::new(), at_all_paths)
}

async fn tokenize(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    answer(&api, (&headers, body), Tokenize::read, Tokenize::answer).await
}

async fn detokenize(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    answer(&api, (&headers, body), Detokenize::read, Detokenize::answer).await
}

async fn tokenizer_info(State(api): State<Arc<Api>>) -> Json<About> {
    Json(About::of(api.verifier.engine()))
}

/// Answers a request that `read` takes out of the body, with what `work` makes of it on a thread that may block.
async fn answer<R: Send + 'static, A: Serialize + Send + 'static>(
    api: &Api,
    (headers, body): (&HeaderMap, Body),
    read: fn(Params, &Serving) -> Result<R, ApiError>,
    work: fn(R, &Engine) -> Result<A, ApiError>,
) -> Response {
    let ignored = Ignored::default();
    let answering = async {
        let fields = api.budget.read(headers, body).await?;
        let params = Params::new(fields, api.unknown(&ignored));
        let request = read(params, api.verifier.serving())?;
        let turn = timeout(PATIENCE, api.tokenizing.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(ApiError::busy("too many texts are being read", PATIENCE));
        };
        let engine = api.verifier.engine().clone();
        let worked = api
            .verifier
            .on_blocking_thread(move || work(request, &engine));
        Ok(Json(worked.await??))
    };
    let answered: Result<Json<A>, ApiError> = answering.await;
    let mut response = answered.into_response();
    ignored::name(&ignored, api, &mut response);
    response
}
