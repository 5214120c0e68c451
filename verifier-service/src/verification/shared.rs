//! State that all sessions of a verifier share.

use std::sync::Arc;

use alignment::acceptance::Method;
use chassis::lifecycle::Lifecycle;
use proto::verifier::FallbackReason;

use super::pacing::SharedPasses;
use crate::{
    drafters::{Drafters, Lease},
    grammars::CompiledGrammars,
    lexicon::Lexicons,
    metrics::Metrics,
    target::Target,
};

/// State that all sessions of a verifier share.
pub(crate) struct Shared {
    pub(super) target: Arc<Target>,
    pub(super) drafters: Drafters,
    pub(super) passes: SharedPasses,
    pub(super) lexicons: Lexicons,
    pub(super) grammars: CompiledGrammars,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    /// Name of the model in requests and answers.
    pub(super) model_name: String,
}

impl Shared {
    /// A drafter for a session under this method.
    pub(super) fn lease(&self, method: Method) -> Result<Lease, FallbackReason> {
        self.drafters.lease(self.lexicons.wanted(method))
    }

    pub(super) fn lexicons(&self) -> &Lexicons {
        &self.lexicons
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }
}
