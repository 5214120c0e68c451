//! The page at `/`: a few files, compiled in, that need only this port. `docs/page.md` shows it.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::api::Api;

/// Scripts and styles from here alone, connections to here alone, no frames around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every file.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    // A newer verifier may serve other files.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, content type and content of each file.
const FILES: [(&str, &str, &str); 10] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("page/index.html"),
    ),
    (
        "/page/style.css",
        "text/css; charset=utf-8",
        include_str!("page/style.css"),
    ),
    (
        "/page/icon.svg",
        "image/svg+xml",
        include_str!("page/icon.svg"),
    ),
    (
        "/page/alignment.js",
        SCRIPT,
        include_str!("page/alignment.js"),
    ),
    ("/page/answer.js", SCRIPT, include_str!("page/answer.js")),
    ("/page/compare.js", SCRIPT, include_str!("page/compare.js")),
    (
        "/page/elements.js",
        SCRIPT,
        include_str!("page/elements.js"),
    ),
    ("/page/page.js", SCRIPT, include_str!("page/page.js")),
    (
        "/page/timeline.js",
        SCRIPT,
        include_str!("page/timeline.js"),
    ),
    (
        "/page/verifier.js",
        SCRIPT,
        include_str!("page/verifier.js"),
    ),
];

pub(super) fn routes() -> Router<Arc<Api>> {
    let add = |router: Router<Arc<Api>>, (path, kind, content)| {
        router.route(path, get(move || async move { file(kind, content) }))
    };
    FILES.into_iter().fold(Router::new(), add)
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
    (HEADERS, kind, content).into_response()
}
