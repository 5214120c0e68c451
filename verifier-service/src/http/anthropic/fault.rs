//! Errors in the shape that Anthropic's clients expect. They name a parameter in their text only.

use axum::response::Response;
use serde_json::{Value, json};

use super::super::error::ApiError;

/// The answer that says why there is no other.
pub(super) fn response(error: &ApiError, id: &str) -> Response {
    let mut body = body(error);
    body["type"] = json!("error");
    body["request_id"] = json!(id);
    error.answer(body)
}

/// The error, for an event of a stream, too.
pub(super) fn body(error: &ApiError) -> Value {
    let kind = match error.status().as_u16() {
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let message = match error.code() {
        // Clients that shorten a conversation look for these words.
        Some("context_length_exceeded") => format!("prompt is too long: {}", error.message()),
        _ => error.message().to_owned(),
    };
    json!({"error": {"type": kind, "message": message}})
}
