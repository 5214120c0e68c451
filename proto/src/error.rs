//! Errors of messages and of typed clients.

use tonic::{Code, Status};

/// A message that breaks the specification.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProtocolError {
    /// A field that must be there is not.
    #[error("{field} is missing: it must be {expected}")]
    Missing {
        /// Path of the field, such as `open.prompt`.
        field: String,
        /// Value that would be right.
        expected: String,
    },
    /// A field has a value that it may not have.
    #[error("{field} is {found}: it must be {expected}")]
    Invalid {
        /// Path of the field.
        field: String,
        /// Value found; a number or a size, never the text itself.
        found: String,
        /// Value that would be right.
        expected: String,
    },
    /// The peer speaks another version of the protocol.
    #[error(
        "protocol version {found} is not spoken here: run a release that speaks version {spoken} on both sides"
    )]
    Version {
        /// The peer's version.
        found: u32,
        /// The version spoken here.
        spoken: u32,
    },
}

impl ProtocolError {
    pub(crate) fn missing(field: &str, expected: impl Into<String>) -> Self {
        Self::Missing {
            field: field.to_owned(),
            expected: expected.into(),
        }
    }

    pub(crate) fn invalid(
        field: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            field: field.to_owned(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// The same error with the field's path seen from the message that holds it.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        match &mut self {
            Self::Missing { field, .. } | Self::Invalid { field, .. } => {
                *field = format!("{parent}.{field}");
            }
            Self::Version { .. } => {}
        }
        self
    }
}

impl From<ProtocolError> for Status {
    fn from(error: ProtocolError) -> Self {
        let code = match error {
            ProtocolError::Missing { .. } | ProtocolError::Invalid { .. } => Code::InvalidArgument,
            ProtocolError::Version { .. } => Code::FailedPrecondition,
        };
        Status::new(code, error.to_string())
    }
}

/// Errors of a typed client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The peer refused, or cannot be reached.
    #[error("the peer answered {:?}: {}", .0.code(), .0.message())]
    Status(#[from] Status),
    /// The peer sent something that breaks the specification.
    #[error("the peer broke the protocol")]
    Protocol(#[from] ProtocolError),
    /// The stream ended before its last message.
    #[error("the stream ended early: {0}")]
    Ended(&'static str),
    /// The peer does not take in what it is sent: the limit of unsent messages is reached.
    #[error("the peer has stopped reading: {0} messages are unsent")]
    Backlog(usize),
}
