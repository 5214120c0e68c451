//! Drafting: what all sessions share, and the course of one from its first message to its last.

mod chooser;
mod context;
mod ledger;
mod line;
mod opening;
mod pace;
mod session;
mod vocabulary;

use std::sync::Arc;

use alignment::acceptance::Method;
use chassis::lifecycle::Lifecycle;
use inference::engine::Engine;
use proto::{
    ProtocolError,
    drafter::{Description, VocabularyPage, VocabularyRequest},
    model,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub(crate) use self::line::Line;
use self::vocabulary::DraftVocabulary;
use crate::{NAME, VERSION, config::Serving, error::DraftError, metrics::Metrics};

/// The draft model and what sessions of it share.
pub(crate) struct Drafter {
    engine: Engine,
    vocabulary: Arc<DraftVocabulary>,
    serving: Serving,
    metrics: Metrics,
    lifecycle: Lifecycle,
    /// One permit for each session that may be open.
    room: Arc<Semaphore>,
}

impl Drafter {
    /// A drafter over `engine`, whose own limit on sessions holds besides that of `serving`.
    pub(crate) fn new(
        engine: Engine,
        serving: Serving,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> Self {
        Self {
            vocabulary: Arc::new(DraftVocabulary::new(&engine)),
            room: Arc::new(Semaphore::new(serving.limits.max_sessions as usize)),
            engine,
            serving,
            metrics,
            lifecycle,
        }
    }

    /// What this drafter is.
    pub(crate) fn describe(&self) -> Description {
        let info = self.engine.info();
        let limits = self.serving.limits;
        let methods = Method::ALL.map(|method| model::Method {
            name: method.name().to_owned(),
            lossless: method.is_lossless(),
            needs_laws: method.needs_laws(),
        });
        Description {
            build: model::Build::of(NAME, VERSION),
            model: model::Model {
                name: self.serving.model_name.clone(),
                architecture: info.architecture.clone(),
                quantisation: info.quantisation.clone(),
                requantised: info.requantised.clone(),
                kernels: info.kernels.clone(),
                parameters: info.parameters,
                context_length: info.context_length as u32,
                vocabulary_size: self.vocabulary.size() as u32,
                tokenizer_family: self.engine.tokenizer().family().to_owned(),
                tokenizer_fingerprint: self.fingerprint(),
                device: self.serving.device.clone(),
                threads: info.threads as u32,
            },
            methods: methods.to_vec(),
            limits,
            sessions: limits.max_sessions - self.room.available_permits() as u32,
        }
    }

    /// A page of the vocabulary.
    pub(crate) fn vocabulary(
        &self,
        request: VocabularyRequest,
    ) -> Result<VocabularyPage, DraftError> {
        let (first, size) = (request.first, self.vocabulary.size() as u32);
        if first >= size {
            return Err(DraftError::Field(ProtocolError::Invalid {
                field: "first".to_owned(),
                found: first.to_string(),
                expected: format!("below {size}, the number of ids"),
            }));
        }
        let token = |id| self.vocabulary.token(id);
        let fingerprint = self.fingerprint();
        Ok(VocabularyPage::of(fingerprint, size, first, token))
    }

    /// Whether no session may begin any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lifecycle.stopping().is_cancelled()
    }

    /// Where the tasks of sessions run.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        self.lifecycle.tasks()
    }

    /// One session, from its first message to its last. What it holds is free before the last one is sent.
    pub(crate) async fn converse(self: Arc<Self>, mut line: Line) {
        let metrics = &self.metrics;
        let session = match self.open(&mut line).await {
            Ok(session) => session,
            Err(error) => {
                self.report(&error);
                return line.fail(error, false).await;
            }
        };
        metrics.sessions.inc();
        metrics.open_sessions.inc();
        let ended = session.run(&mut line).await;
        metrics.open_sessions.dec();
        match ended {
            Ok(reason) => tracing::debug!(?reason, "session is closed"),
            Err(error) => {
                self.report(&error);
                line.fail(error, true).await;
            }
        }
    }

    fn report(&self, error: &DraftError) {
        let reason = error.reason();
        self.metrics.failed(reason);
        match error {
            DraftError::Cancelled => tracing::debug!("session is cancelled"),
            DraftError::Engine(_) | DraftError::Law(_) => {
                tracing::warn!(%error, reason, "session has failed");
            }
            _ => tracing::info!(%error, reason, "session has ended early"),
        }
    }
}

#[cfg(test)]
mod tests;
