//! Pages of other origins: which of them browsers let use the API, and how `OPTIONS` is answered.
//!
//! Written here for its few lines: `tower-http` would be a crate more, and answer 200 to a preflight without `allow`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
        },
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};

/// Methods that are served anywhere.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
/// Headers of answers that pages may read.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, x-duet-ignored, retry-after");
/// Seconds for which a browser need not ask again: as many as any of them remembers.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
/// The origin that stands for any.
const ANY: &str = "*";

/// Origins whose pages may use the API.
#[derive(Clone, Debug)]
pub(super) struct Origins(Arc<[String]>);

impl Origins {
    pub(super) fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    /// The value that lets pages of this origin read the answer, if they may.
    fn allowance(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let is_one = |one: &str| self.0.iter().any(|allowed| allowed == one);
        if is_one(ANY) {
            return Some(HeaderValue::from_static(ANY));
        }
        let is_allowed = origin.to_str().is_ok_and(is_one);
        is_allowed.then(|| origin.clone())
    }
}

/// Answers browsers that ask whether a page may send a request, and lets it read answers.
pub(super) async fn share(
    State(origins): State<Origins>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = request.headers().get(ORIGIN);
    let allowed = allowed.and_then(|origin| origins.allowance(origin));
    let preflight = preflight(&request);
    let mut response = match &preflight {
        Some(_) if allowed.is_some() => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    if origins.0.iter().any(|origin| origin != ANY) {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    let Some(allowed) = allowed else {
        return response;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    match preflight {
        Some(asked) => headers.extend(asked),
        None => drop(headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)),
    }
    response
}

/// Headers of the answer to a preflight, if this is one.
fn preflight(request: &Request) -> Option<HeaderMap> {
    let asked = request.headers();
    let is_preflight =
        request.method() == Method::OPTIONS && asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    is_preflight.then(|| {
        let fixed = [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        let names = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS).into_iter();
        let names = names.map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names.clone()));
        fixed.into_iter().chain(names).collect()
    })
}
