//! The APIs that OpenAI's clients and Anthropic's speak, over HTTP. They add nothing of their own: a request becomes the same
//! [`proto::verifier::Generate`] that gRPC carries, passes the same validation, and is answered by the same sessions.
//!
//! What would change the text is honoured, or refused by its name. What asks for nothing or is only a hint passes. Unknown
//! parameters are ignored and named in a header of the answer, or refused with `--strict-parameters`.

mod answer;
mod anthropic;
mod api;
mod blocks;
mod body;
mod chat;
mod completions;
mod constraint;
mod duet;
mod endpoint;
mod error;
mod event_stream;
mod events;
mod exchange;
mod health;
mod hosts;
mod ignored;
mod logprobs;
mod messages;
mod models;
mod narration;
mod origins;
mod output;
mod page;
mod params;
mod replies;
mod request;
mod response;
mod responses;
mod sampling;
mod tokens;
mod tools;
mod translation;
mod whole;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
};

use self::{api::Api, error::ApiError, hosts::Hosts, origins::Origins};
use crate::verification::Verifier;

/// Everything that the HTTP port at `address` serves, `metrics` included if they are wanted there.
pub(crate) fn router(verifier: Arc<Verifier>, address: Option<IpAddr>, metrics: Router) -> Router {
    let options = &verifier.serving().http;
    let origins = Origins::new(&options.cors_origins);
    let hosts = Hosts::new(address, &options.allowed_hosts);
    let metrics = options.serves_metrics.then_some(metrics);
    Router::new()
        .merge(chat::routes())
        .merge(completions::routes())
        .merge(responses::routes())
        .merge(anthropic::routes())
        .merge(models::routes())
        .merge(health::routes())
        .merge(tokens::routes())
        .merge(duet::routes())
        .merge(page::routes())
        .merge(metrics.unwrap_or_default().with_state(()))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::new(Api::new(verifier)))
        .layer(from_fn_with_state(origins, origins::share))
        .layer(from_fn_with_state(hosts, hosts::check))
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::unknown_path(uri.path())
}

/// The answer where a path is known and the method is not. It has `allow`, which is all that `OPTIONS` asks for.
async fn wrong_method(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    ApiError::wrong_method(&method, uri.path()).into_response()
}
