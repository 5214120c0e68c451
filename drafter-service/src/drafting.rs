//! Drafting: what all sessions share, and the course of one from its first message to its last.

mod branches;
mod cascade;
mod chooser;
mod context;
mod draft_model;
mod ledger;
mod line;
mod lookup;
mod opening;
mod pace;
mod proposer;
mod session;
mod vocabulary;

use std::sync::Arc;

use alignment::acceptance::Method;
use chassis::lifecycle::Lifecycle;
use inference::engine::Engine;
use proto::{
    ProtocolError,
    drafter::{Description, PROTOCOL_VERSION, VocabularyPage, VocabularyRequest},
    limits::MAX_COMMITTED_BYTES,
    model::{self, Fingerprint},
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub(crate) use self::line::Line;
use self::vocabulary::DraftVocabulary;
use crate::{NAME, VERSION, config::Serving, error::DraftError, metrics::Metrics, source::Source};

/// A model and its vocabulary.
pub(crate) struct DraftModel {
    engine: Engine,
    vocabulary: Arc<DraftVocabulary>,
}

/// What drafts, and what sessions of it share.
pub(crate) struct Drafter {
    source: Source<DraftModel>,
    serving: Serving,
    metrics: Metrics,
    lifecycle: Lifecycle,
    /// One permit for each session that may be open.
    room: Arc<Semaphore>,
}

impl Drafter {
    /// A drafter over `source`. The limit of an engine on sessions holds besides that of `serving`.
    pub(crate) fn new(
        source: Source<Engine>,
        serving: Serving,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> Self {
        Self {
            source: source.map(|engine| DraftModel {
                vocabulary: Arc::new(DraftVocabulary::new(&engine)),
                engine,
            }),
            room: Arc::new(Semaphore::new(serving.limits.max_sessions as usize)),
            serving,
            metrics,
            lifecycle,
        }
    }

    /// What this drafter is.
    pub(crate) fn describe(&self) -> Description {
        let limits = self.serving.limits;
        let methods = self.methods().map(|method| model::Method {
            name: method.name().to_owned(),
            lossless: method.is_lossless(),
            needs_distributions: method.needs_distributions(),
        });
        Description {
            build: model::Build::of(NAME, VERSION, PROTOCOL_VERSION),
            model: self.model(),
            methods: methods.collect(),
            limits,
            sessions: limits.max_sessions - self.room.available_permits() as u32,
        }
    }

    /// What drafts, as `Describe` says it.
    fn model(&self) -> model::Model {
        let looked_up = model::Model {
            name: self.serving.model_name.clone(),
            architecture: "ngram".to_owned(),
            quantisation: "none".to_owned(),
            requantised: Vec::new(),
            kernels: String::new(),
            parameters: 0,
            context_length: self.context_length() as u32,
            vocabulary_size: 0,
            tokenizer_family: "ngram (no model)".to_owned(),
            tokenizer_fingerprint: self.fingerprint(),
            device: "cpu".to_owned(),
            threads: 0,
        };
        let Some(model) = self.source.model() else {
            return looked_up;
        };
        let info = model.engine.info();
        model::Model {
            architecture: match &self.source {
                Source::Cascade(_) => format!("ngram + {}", info.architecture),
                _ => info.architecture.clone(),
            },
            quantisation: info.quantisation.clone(),
            requantised: info.requantised.clone(),
            kernels: info.kernels.clone(),
            parameters: info.parameters,
            vocabulary_size: model.vocabulary.size() as u32,
            tokenizer_family: model.engine.tokenizer().family().to_owned(),
            device: self.serving.device.clone(),
            threads: info.threads as u32,
            ..looked_up
        }
    }

    /// Methods that can be drafted for: where text is looked up there are no draws to tell.
    fn methods(&self) -> impl Iterator<Item = Method> {
        let tells_draws = matches!(self.source, Source::Model(_));
        let fits = move |method: &Method| tells_draws || !method.needs_ids();
        Method::ALL.into_iter().filter(fits)
    }

    /// Positions that a session may hold: bytes where there is no model.
    fn context_length(&self) -> usize {
        let without = self.serving.limits.max_prompt_bytes as usize + MAX_COMMITTED_BYTES;
        let model = self.source.model();
        model.map_or(without, |model| model.engine.info().context_length)
    }

    fn fingerprint(&self) -> Fingerprint {
        let model = self.source.model();
        model.map_or(Fingerprint::NONE, |model| {
            Fingerprint(model.engine.tokenizer().fingerprint())
        })
    }

    /// A page of the vocabulary.
    pub(crate) fn vocabulary(
        &self,
        request: VocabularyRequest,
    ) -> Result<VocabularyPage, DraftError> {
        let vocabulary = &self
            .source
            .model()
            .ok_or(DraftError::NoVocabulary)?
            .vocabulary;
        let (first, size) = (request.first, vocabulary.size() as u32);
        if first >= size {
            return Err(DraftError::Field(ProtocolError::Invalid {
                field: "first".to_owned(),
                found: first.to_string(),
                expected: format!("below {size}, the number of ids"),
            }));
        }
        let token = |id| vocabulary.token(id);
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
            DraftError::Engine(_) | DraftError::Distribution(_) => {
                tracing::warn!(%error, reason, "session has failed");
            }
            _ => tracing::info!(%error, reason, "session has ended early"),
        }
    }
}

#[cfg(test)]
mod tests;
