//! The header that names the parameters that were ignored.

use axum::{http::HeaderValue, response::Response};

use super::{api::Api, params::Ignored};

/// Header of an answer with the parameters that were ignored.
const IGNORED: &str = "x-duet-ignored";

/// Logs the ignored parameters, if there are any, and names them in the answer.
pub(super) fn name(ignored: &Ignored, api: &Api, response: &mut Response) {
    let ignored = ignored.paths();
    if ignored.is_empty() {
        return;
    }
    api.ignored(&ignored);
    // Names may hold anything, header values may not.
    let names = ignored.join(", ").escape_default().to_string();
    if let Ok(names) = HeaderValue::from_str(&names) {
        response.headers_mut().insert(IGNORED, names);
    }
}
