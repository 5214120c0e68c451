//! Errors of requests, and the status that the client gets. Drafters cause none of these.

use std::time::Duration;

use grammar::GrammarError;
use inference::{engine::EngineError, sampling::DistributionError};
use proto::ProtocolError;
use tokenizer::template::TemplateError;
use tonic::{Code, Status, metadata::MetadataValue};

/// Metadata key with the seconds after which a refused request may be tried again.
pub const RETRY_AFTER: &str = "retry-after";

/// Error of a request to generate.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A field breaks the specification, a limit, or does not fit the model.
    #[error(transparent)]
    Field(#[from] ProtocolError),
    /// The prompt does not fit the context.
    #[error(
        "{field} is {tokens} tokens long: this model's maximum context length is {limit} tokens"
    )]
    ContextExceeded {
        /// Field of the prompt.
        field: &'static str,
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that the context holds.
        limit: usize,
    },
    /// This verifier does not have the method.
    #[error("speculation.method is {method}: it must be one of {supported}")]
    Method {
        /// Method that was asked for.
        method: String,
        /// Methods that it has.
        supported: String,
    },
    /// The model's template does not take the messages.
    #[error("prompt.conversation cannot be rendered: {0}")]
    Template(#[source] TemplateError),
    /// The request requires a drafter, and none is in use that has the method.
    #[error("speculation.mode requires a drafter, and none that has the method {method} is in use")]
    NoDrafter {
        /// The method.
        method: &'static str,
    },
    /// The grammar cannot be used, or has become too complex in the reply.
    #[error("grammar cannot be used: {0}")]
    Grammar(#[from] GrammarError),
    /// No room for another request.
    #[error("all {limit} requests at once are in progress, {queued} passes wait for the model")]
    Busy {
        /// Limit on requests at once.
        limit: usize,
        /// Passes that wait.
        queued: usize,
        /// Time after which to try again.
        retry_after: Duration,
    },
    /// The process has been told to stop.
    #[error("the verifier is stopping: ask another one")]
    Stopping,
    /// The client does not read its reply.
    #[error("the reply was not read for {0:?}")]
    Unread(Duration),
    /// The model's thread failed.
    #[error("the target model has failed: {0}")]
    Engine(#[from] EngineError),
    /// The logits give no distribution.
    #[error("the target model gave no distribution: {0}")]
    Distribution(#[from] DistributionError),
}

/// Error of a request to check a drafter's tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum CheckPairError {
    /// A field breaks the specification.
    #[error(transparent)]
    Field(#[from] ProtocolError),
    /// No such drafter is configured.
    #[error("{}: `Describe` lists those that are", unknown(address.as_deref()))]
    Unknown {
        /// Address in the request, if there is one.
        address: Option<String>,
    },
    /// The drafter does not give its vocabulary.
    #[error("the drafter at {address} did not say what its tokens are: {why}")]
    Drafter {
        /// Its address.
        address: String,
        /// Cause.
        why: String,
    },
    /// Another check is running.
    #[error("another check is running: ask again in a second")]
    Busy,
    /// The process has been told to stop.
    #[error("the verifier is stopping: ask another one")]
    Stopping,
    /// The comparison was given up.
    #[error("the comparison was given up")]
    Failed,
}

fn unknown(address: Option<&str>) -> String {
    match address {
        Some(address) => format!("no drafter at {address} is configured"),
        None => "no drafter is configured".to_owned(),
    }
}

impl GenerateError {
    /// The error for a field whose value cannot be used here.
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
}

impl From<GenerateError> for Status {
    fn from(error: GenerateError) -> Self {
        let text = error.to_string();
        match error {
            GenerateError::Field(error) => error.into(),
            GenerateError::ContextExceeded { .. }
            | GenerateError::Template(_)
            | GenerateError::Grammar(_) => Self::invalid_argument(text),
            GenerateError::Method { .. } => Self::failed_precondition(text),
            GenerateError::Busy { retry_after, .. } => {
                let mut status = Self::resource_exhausted(text);
                let seconds = MetadataValue::from(retry_after.as_secs().max(1));
                status.metadata_mut().insert(RETRY_AFTER, seconds);
                status
            }
            GenerateError::Stopping
            | GenerateError::NoDrafter { .. }
            | GenerateError::Engine(EngineError::Stopped) => Self::unavailable(text),
            GenerateError::Unread(_) => Self::cancelled(text),
            GenerateError::Engine(_) | GenerateError::Distribution(_) => {
                Self::new(Code::Internal, text)
            }
        }
    }
}

impl From<CheckPairError> for Status {
    fn from(error: CheckPairError) -> Self {
        let text = error.to_string();
        match error {
            CheckPairError::Field(error) => error.into(),
            CheckPairError::Unknown { .. } => Self::not_found(text),
            CheckPairError::Busy => {
                let mut status = Self::resource_exhausted(text);
                let seconds = MetadataValue::from(1_u64);
                status.metadata_mut().insert(RETRY_AFTER, seconds);
                status
            }
            CheckPairError::Drafter { .. } | CheckPairError::Stopping => Self::unavailable(text),
            CheckPairError::Failed => Self::new(Code::Internal, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_says_when_to_come_back() {
        let status = Status::from(GenerateError::Busy {
            limit: 4,
            queued: 2,
            retry_after: Duration::from_millis(3200),
        });
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get(RETRY_AFTER).unwrap(), "3");
        assert_eq!(
            status.message(),
            "all 4 requests at once are in progress, 2 passes wait for the model"
        );
    }

    #[test]
    fn field_is_named_with_what_would_be_right() {
        let status = Status::from(GenerateError::field("max_tokens", "9", "1 to 8"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "max_tokens is 9: it must be 1 to 8");
    }
}
