//! Errors in the shape that OpenAI's clients expect: a status, and an object that names the parameter.

use std::{fmt, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, Method, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use inference::engine::EngineError;
use proto::ProtocolError;
use serde::Serialize;

use crate::error::GenerateError;

/// The request is wrong.
const INVALID: &str = "invalid_request_error";
/// The server has no room.
const BUSY: &str = "rate_limit_error";
/// The fault is the server's.
const FAULT: &str = "server_error";
/// Most characters of a value from the request that an error repeats.
const SHOWN: usize = 200;

/// Why a request gets no answer.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Body,
}

/// The body of an error.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Body {
    error: Details,
}

#[derive(Clone, Debug, Serialize)]
struct Details {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

impl ApiError {
    /// An error of this status and type.
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let error = Details {
            message: message.into(),
            kind,
            param: None,
            code: None,
        };
        Self {
            status,
            retry_after: None,
            body: Body { error },
        }
    }

    /// A request that cannot be read.
    pub(super) fn unreadable(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, INVALID, message)
    }

    /// A parameter that cannot be used; the message says why and what would be right.
    pub(super) fn parameter(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message).about(param)
    }

    /// No room for what the request would hold.
    pub(super) fn busy(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, BUSY, message).coded("rate_limit_exceeded")
        }
    }

    pub(super) fn unknown_path(path: &str) -> Self {
        let message = format!("nothing is served at {}", shown(path));
        Self::new(StatusCode::NOT_FOUND, INVALID, message).coded("unknown_url")
    }

    pub(super) fn unknown_host(name: &str) -> Self {
        let message = format!(
            "the host is {}: it must be localhost, an address, or a name given with --allowed-host",
            shown(name)
        );
        Self::new(StatusCode::FORBIDDEN, INVALID, message).coded("host_not_allowed")
    }

    pub(super) fn wrong_method(method: &Method, path: &str) -> Self {
        let message = format!(
            "{} is not served at {}",
            shown(method.as_str()),
            shown(path)
        );
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, INVALID, message).coded("method_not_supported")
    }

    pub(super) fn unknown_model(name: &str, served: &str) -> Self {
        let message = format!(
            "model {} is not served here: the model is {served}",
            shown(name)
        );
        Self::new(StatusCode::NOT_FOUND, INVALID, message)
            .about("model")
            .coded("model_not_found")
    }

    /// A fault of the server.
    pub(super) fn fault(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, FAULT, message)
    }

    /// A reply that was cut off because the process stops.
    pub(super) fn stopping() -> Self {
        GenerateError::Stopping.into()
    }

    /// True if it is sent before the body has been read to its end.
    pub(super) fn leaves_body_unread(&self) -> bool {
        matches!(
            self.status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS
        )
    }

    /// The same about OpenAI's parameter instead of the field that it became.
    pub(super) fn about_parameter(self) -> Self {
        match self.body.error.param.clone() {
            Some(field) => self.renamed(&field, &parameter(&field)),
            None => self,
        }
    }

    /// The same about a parameter that the client knows by another name: for `from` and the fields within it.
    pub(super) fn renamed(mut self, from: &str, to: &str) -> Self {
        let error = &mut self.body.error;
        let is_within = |field: &str| {
            let rest = field.strip_prefix(from);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if let Some(field) = error.param.take_if(|field| is_within(field)) {
            if let Some(rest) = error.message.strip_prefix(field.as_str()) {
                error.message = format!("{to}{rest}");
            }
            error.param = Some(to.to_owned());
        }
        self
    }

    /// The same about the parameter that the client knows by the name that `name` gives to a path.
    pub(super) fn renamed_by(mut self, name: impl Fn(&str) -> String) -> Self {
        let error = &mut self.body.error;
        if let Some(param) = &mut error.param {
            let end = error.message.find(' ').unwrap_or(error.message.len());
            let (path, rest) = error.message.split_at(end);
            if path.starts_with(param.as_str()) {
                error.message = format!("{}{rest}", name(path));
            }
            *param = name(param);
        }
        self
    }

    /// The same with a code that clients branch on.
    pub(super) fn coded(mut self, code: &'static str) -> Self {
        self.body.error.code = Some(code);
        self
    }

    /// The body, for an event of a stream that has begun.
    pub(super) fn into_body(self) -> Body {
        self.body
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn message(&self) -> &str {
        &self.body.error.message
    }

    pub(super) fn param(&self) -> Option<&str> {
        self.body.error.param.as_deref()
    }

    pub(super) fn code(&self) -> Option<&'static str> {
        self.body.error.code
    }

    /// The answer with this body, for an API whose errors have another shape.
    pub(super) fn answer(&self, body: impl Serialize) -> Response {
        let mut response = (self.status, Json(body)).into_response();
        if let Some(after) = self.retry_after {
            let seconds = HeaderValue::from(after.as_secs().max(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }

    fn about(mut self, param: impl Into<String>) -> Self {
        self.body.error.param = Some(param.into());
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.as_u16(), self.body.error.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.answer(&self.body)
    }
}

impl From<GenerateError> for ApiError {
    fn from(error: GenerateError) -> Self {
        let message = error.to_string();
        match error {
            GenerateError::Field(error) => error.into(),
            GenerateError::ContextExceeded { field, .. } => {
                Self::parameter(field, message).coded("context_length_exceeded")
            }
            GenerateError::Method { .. } => Self::parameter("speculation.method", message),
            GenerateError::Grammar(_) => Self::parameter("grammar", message),
            GenerateError::Template(_) => Self::parameter("prompt.conversation", message),
            GenerateError::Busy { retry_after, .. } => Self::busy(message, retry_after),
            GenerateError::Stopping | GenerateError::Engine(EngineError::Stopped) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, FAULT, message).coded("stopping")
            }
            GenerateError::NoDrafter { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, FAULT, message).coded("no_drafter")
            }
            GenerateError::Unread(_)
            | GenerateError::Engine(_)
            | GenerateError::Distribution(_) => Self::fault(message),
        }
    }
}

impl From<ProtocolError> for ApiError {
    fn from(error: ProtocolError) -> Self {
        let message = error.to_string();
        match error {
            ProtocolError::Missing { field, .. } | ProtocolError::Invalid { field, .. } => {
                Self::parameter(field, message)
            }
            ProtocolError::Version { .. } => Self::new(StatusCode::BAD_REQUEST, INVALID, message),
        }
    }
}

/// OpenAI's parameter that became this field.
fn parameter(field: &str) -> String {
    const NAMES: [(&str, &str); 10] = [
        ("sampling.", ""),
        ("prompt.conversation.messages", "messages"),
        ("prompt.conversation", "messages"),
        ("prompt.text", "prompt"),
        ("prompt.tokens", "prompt"),
        ("prompt.infill", "suffix"),
        ("ends.", ""),
        ("stop_tokens", "stop_token_ids"),
        ("speculation.block_tokens", "speculation.block_length"),
        ("request_id", "x-request-id"),
    ];
    let renamed = NAMES.iter().find_map(|(ours, theirs)| {
        let rest = field.strip_prefix(ours)?;
        Some(format!("{theirs}{rest}"))
    });
    renamed.unwrap_or_else(|| field.to_owned())
}

/// A value from the request, shortened for an error.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() == text.len() {
        format!("{short:?}")
    } else {
        format!("{short:?} and so on")
    }
}
