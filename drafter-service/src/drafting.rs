//! Drafting: the course of a session from its first message to its last.

mod branches;
mod cascade;
mod chooser;
mod context;
mod draft_model;
mod drafter;
mod lookup;
mod opening;
mod proposer;
mod rate_limiter;
mod session;
mod stream;
mod unanswered;
mod vocabulary;

use std::sync::Arc;

pub(crate) use self::{
    drafter::Drafter,
    stream::{Inbox, Outbox, VerifierStream},
};
use crate::error::DraftError;

impl Drafter {
    /// Stream of a session with the limits of this drafter.
    pub(crate) fn stream(&self, inbox: Inbox, outbox: Outbox) -> VerifierStream {
        VerifierStream::new(inbox, outbox, &self.serving, self.lifecycle.clone())
    }

    /// One session, from its first message to its last. Its resources are freed before the last one is sent.
    pub(crate) async fn converse(self: Arc<Self>, mut stream: VerifierStream) {
        let metrics = &self.metrics;
        let session = match self.open(&mut stream).await {
            Ok(session) => session,
            Err(error) => {
                self.report(&error);
                return stream.fail(error, false).await;
            }
        };
        metrics.sessions.inc();
        metrics.open_sessions.inc();
        let ended = session.run(&mut stream).await;
        metrics.open_sessions.dec();
        match ended {
            Ok(reason) => tracing::debug!(?reason, "session is closed"),
            Err(error) => {
                self.report(&error);
                stream.fail(error, true).await;
            }
        }
    }

    fn report(&self, error: &DraftError) {
        let reason = error.reason();
        self.metrics.failed(reason);
        match error {
            DraftError::Cancelled => tracing::debug!("session is cancelled"),
            DraftError::Engine(_) | DraftError::Distribution(_) => {
                tracing::warn!(%error, reason, "session has failed");
            }
            _ => tracing::info!(%error, reason, "session has ended early"),
        }
    }
}

#[cfg(test)]
mod tests;
