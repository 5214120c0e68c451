//! The drafter: what all sessions share, and what it says about itself.

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

use super::vocabulary::DraftVocabulary;
use crate::{NAME, VERSION, config::Serving, error::DraftError, metrics::Metrics, source::Source};

/// A model and its vocabulary.
pub(super) struct DraftModel {
    pub(super) engine: Engine,
    pub(super) vocabulary: Arc<DraftVocabulary>,
}

/// A source of drafts, and what its sessions share.
pub(crate) struct Drafter {
    pub(super) source: Source<DraftModel>,
    pub(super) serving: Serving,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    /// One permit for each session that may be open.
    pub(super) room: Arc<Semaphore>,
}

impl Drafter {
    /// Drafter over `source`. An engine's own limit on sessions holds as well as that of `serving`.
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

    /// Description of this drafter.
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

    /// The source, as `Describe` names it.
    fn model(&self) -> model::Model {
        let lookup = model::Model {
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
            return lookup;
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
            ..lookup
        }
    }

    /// Methods that can be drafted for. A look-up has no draws to send.
    pub(super) fn methods(&self) -> impl Iterator<Item = Method> {
        let sends_draws = matches!(self.source, Source::Model(_));
        let fits = move |method: &Method| sends_draws || !method.needs_ids();
        Method::ALL.into_iter().filter(fits)
    }

    /// Number of positions that a session may hold; of bytes where there is no model.
    pub(super) fn context_length(&self) -> usize {
        let lookup = self.serving.limits.max_prompt_bytes as usize + MAX_COMMITTED_BYTES;
        let model = self.source.model();
        model.map_or(lookup, |model| model.engine.info().context_length)
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
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

    /// True if no session may begin any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lifecycle.stopping().is_cancelled()
    }

    /// Tracker of the sessions' tasks.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        self.lifecycle.tasks()
    }
}
