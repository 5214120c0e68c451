//! Errors that end a session before its reply is complete. The verifier gets a status, or a failure message on an open stream.

use std::time::Duration;

use inference::{
    engine::EngineError,
    sampling::{DistributionError, SamplingError},
};
use proto::{
    ProtocolError,
    drafter::{Failure, FailureCode},
    limits,
    model::Fingerprint,
};
use tokenizer::template::TemplateError;
use tonic::{Code, Status, metadata::MetadataValue};

/// Metadata key with the seconds after which a refused session may be tried again.
const RETRY_AFTER: &str = "retry-after";
/// Estimate of the time until a session ends and makes room.
const RETRY_SECONDS: u64 = 1;

/// Error that ends a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DraftError {
    /// A message breaks the specification, a limit, or does not fit the model.
    #[error(transparent)]
    Field(#[from] ProtocolError),
    /// A message is too large or malformed.
    #[error("a message cannot be decoded: {0}")]
    Undecodable(String),
    /// This drafter does not have the method.
    #[error("open.method is {method}: it must be one of {supported}")]
    Method { method: String, supported: String },
    /// The verifier expects another tokenizer.
    #[error(
        "open.expected_fingerprint is {expected}: the tokenizer of {model} has {actual}, so ids cannot be exchanged"
    )]
    Fingerprint {
        expected: Fingerprint,
        actual: Fingerprint,
        model: String,
    },
    /// A drafter without a model has no ids.
    #[error(
        "this drafter has no vocabulary: it proposes text that it looks up, for methods that work on bytes"
    )]
    NoVocabulary,
    /// The model's template does not take the messages.
    #[error("open.prompt cannot be rendered: {0}")]
    Template(#[source] TemplateError),
    /// No room for another session.
    #[error("all {limit} sessions at once are open")]
    Busy { limit: usize },
    /// The process has been told to stop.
    #[error("the drafter is stopping: open a session elsewhere")]
    Stopping,
    /// No verdict came in time.
    #[error("no message came for {}", humantime::format_duration(*.0))]
    Idle(Duration),
    /// The session has reached its longest duration.
    #[error("a session may last {}: open another one, here or elsewhere", humantime::format_duration(*.0))]
    Aged(Duration),
    /// A verdict does not fit the text of this side.
    #[error("the two sides have lost step: {0}")]
    Desynchronised(#[source] ProtocolError),
    /// The model's thread refused or failed.
    #[error("the draft model: {0}")]
    Engine(#[from] EngineError),
    /// The logits give no distribution.
    #[error("the draft model gave no distribution: {0}")]
    Distribution(#[from] DistributionError),
    /// The thread that encodes prompts failed.
    #[error("the prompt's encoding was given up")]
    Encoding,
    /// The verifier is gone, so that nobody gets an answer.
    #[error("the verifier is gone")]
    Cancelled,
}

impl DraftError {
    /// The error for a field of `Open` whose value cannot be used here.
    pub(crate) fn field(
        field: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Field(ProtocolError::Invalid {
            field: field.to_owned(),
            found: found.into(),
            expected: expected.into(),
        })
    }

    /// The error for a field of `Open.sampling` that the model's own check refuses.
    pub(crate) fn sampling(error: SamplingError) -> Self {
        let field = format!("open.sampling.{}", error.field);
        Self::field(&field, error.value, error.range)
    }

    /// Label for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Field(_) | Self::Undecodable(_) | Self::Template(_) => "invalid_argument",
            Self::Method { .. } => "method",
            Self::Fingerprint { .. } => "fingerprint",
            Self::Busy { .. } => "busy",
            Self::Stopping => "stopping",
            Self::Idle(_) => "idle",
            Self::Aged(_) => "aged",
            Self::NoVocabulary => "vocabulary",
            Self::Desynchronised(_) => "desynchronised",
            Self::Engine(EngineError::ContextFull { .. }) => "context_full",
            Self::Engine(EngineError::Full { .. }) => "overloaded",
            Self::Engine(_) => "engine",
            Self::Distribution(_) => "distribution",
            Self::Encoding => "encoding",
            Self::Cancelled => "cancelled",
        }
    }

    /// The failure message for an open stream; `None` if the verifier broke the protocol, so that a status ends the stream.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let code = match self {
            Self::Field(_)
            | Self::Undecodable(_)
            | Self::Method { .. }
            | Self::Fingerprint { .. }
            | Self::Template(_)
            | Self::NoVocabulary
            | Self::Cancelled => return None,
            Self::Stopping | Self::Idle(_) | Self::Aged(_) => FailureCode::Stopping,
            Self::Desynchronised(_) => FailureCode::Desynchronised,
            Self::Engine(EngineError::ContextFull { .. }) => FailureCode::ContextFull,
            Self::Busy { .. } | Self::Engine(EngineError::Full { .. }) => FailureCode::Overloaded,
            Self::Engine(_) | Self::Distribution(_) | Self::Encoding => FailureCode::Internal,
        };
        let mut text = self.to_string();
        text.truncate(text.floor_char_boundary(limits::MAX_FAILURE_BYTES));
        Some(Failure { code, text })
    }
}

impl From<DraftError> for Status {
    fn from(error: DraftError) -> Self {
        let text = error.to_string();
        match error {
            DraftError::Field(error) => error.into(),
            DraftError::Undecodable(_) | DraftError::Template(_) => Self::invalid_argument(text),
            DraftError::Method { .. }
            | DraftError::Fingerprint { .. }
            | DraftError::NoVocabulary => Self::failed_precondition(text),
            DraftError::Busy { .. } | DraftError::Engine(EngineError::Full { .. }) => {
                let mut status = Self::resource_exhausted(text);
                let seconds = MetadataValue::from(RETRY_SECONDS);
                status.metadata_mut().insert(RETRY_AFTER, seconds);
                status
            }
            DraftError::Stopping
            | DraftError::Idle(_)
            | DraftError::Aged(_)
            | DraftError::Engine(EngineError::Stopped) => Self::unavailable(text),
            DraftError::Cancelled => Self::cancelled(text),
            DraftError::Desynchronised(_)
            | DraftError::Engine(_)
            | DraftError::Distribution(_)
            | DraftError::Encoding => Self::new(Code::Internal, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_says_when_to_come_back() {
        let status = Status::from(DraftError::Busy { limit: 4 });
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get(RETRY_AFTER).unwrap(), "1");
        assert_eq!(status.message(), "all 4 sessions at once are open");
    }

    #[test]
    fn field_is_named_with_what_would_be_right() {
        let status = Status::from(DraftError::field("open.prompt", "9 long", "at most 8"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(
            status.message(),
            "open.prompt is 9 long: it must be at most 8"
        );
    }

    #[test]
    fn failure_fits_its_limit_and_keeps_whole_characters() {
        let long = EngineError::Compute("é".repeat(2000));
        let failure = DraftError::Engine(long).failure().unwrap();
        assert!(failure.text.len() <= limits::MAX_FAILURE_BYTES && failure.text.ends_with('é'));
        assert_eq!(failure.code, FailureCode::Internal);
    }
}
