//! Error that ends a stream, and who is to blame for it.

use proto::{
    ClientError,
    drafter::{Failure, FailureCode},
    verifier::FallbackReason,
};
use tonic::Code;

use crate::{
    drafters::{self, Lease},
    lexicon::LexiconError,
};

/// Error that ends a stream.
#[derive(Debug)]
pub(super) struct StreamError {
    pub(super) why: FallbackReason,
    pub(super) text: String,
    /// True if this session may open another stream.
    pub(super) may_rejoin: bool,
    pub(super) blame: Blame,
}

/// Party to blame for an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Blame {
    /// Nobody.
    Nobody,
    /// The drafter has done something wrong.
    Fault,
    /// The drafter is gone.
    Gone,
    /// The drafter is stopping, and has said so.
    Stopping,
}

impl StreamError {
    /// An error that says nothing against the drafter.
    pub(super) fn new(why: FallbackReason, text: impl Into<String>) -> Self {
        Self {
            why,
            text: text.into(),
            may_rejoin: true,
            blame: Blame::Nobody,
        }
    }

    /// An error after which the reply goes on without drafters.
    pub(super) fn for_good(text: impl Into<String>) -> Self {
        Self {
            may_rejoin: false,
            ..Self::new(FallbackReason::Failed, text)
        }
    }

    pub(super) fn fault(why: FallbackReason, text: impl Into<String>) -> Self {
        Self {
            blame: Blame::Fault,
            ..Self::new(why, text)
        }
    }

    pub(super) fn of_error(error: &ClientError) -> Self {
        let text = drafters::reason(error);
        match error {
            ClientError::Protocol(_) => Self::fault(FallbackReason::Protocol, text),
            ClientError::Status(status) if status.code() == Code::Unavailable => Self {
                blame: Blame::Gone,
                ..Self::new(FallbackReason::Disconnected, text)
            },
            ClientError::Status(_) | ClientError::Ended(_) | ClientError::Backlog(_) => {
                Self::fault(FallbackReason::Disconnected, text)
            }
        }
    }

    pub(super) fn of_failure(failure: &Failure) -> Self {
        let text = format!("{:?}: {}", failure.code, failure.text);
        match failure.code {
            FailureCode::ContextFull => Self::for_good(text),
            FailureCode::Stopping => Self {
                blame: Blame::Stopping,
                ..Self::new(FallbackReason::Disconnected, text)
            },
            FailureCode::Desynchronised | FailureCode::Internal | FailureCode::Overloaded => {
                Self::fault(FallbackReason::Failed, text)
            }
        }
    }

    /// Error of a stream that could not be opened. Counts against a drafter that is to blame.
    pub(super) fn of_opening(lease: &Lease, error: &LexiconError) -> Self {
        let error = match error {
            LexiconError::Client(error) => error,
            // Another drafter may fit.
            LexiconError::Differs { found, .. } => {
                lease.described(*found);
                return Self::new(FallbackReason::NoDrafter, error.to_string());
            }
            // Nobody is to blame, and another attempt would fail alike.
            LexiconError::Map(_) => return Self::for_good(error.to_string()),
        };
        let text = drafters::reason(error);
        let why = match error {
            ClientError::Status(status) => match status.code() {
                Code::Unavailable => {
                    lease.lost(&text);
                    return Self::new(FallbackReason::NoDrafter, text);
                }
                // The drafter refuses this reply and would again, but it can draft others.
                Code::InvalidArgument => return Self::for_good(text),
                // A full drafter is not to blame.
                Code::ResourceExhausted => return Self::new(FallbackReason::Failed, text),
                _ => FallbackReason::Failed,
            },
            ClientError::Protocol(_) => FallbackReason::Protocol,
            ClientError::Ended(_) | ClientError::Backlog(_) => FallbackReason::Disconnected,
        };
        lease.failed(&text);
        Self::new(why, text)
    }
}
