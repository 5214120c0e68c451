//! State that all handlers share.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::Semaphore;

use super::{
    body::Budget,
    error::ApiError,
    params::{Ignored, Unknown},
};
use crate::{VERSION, config::Serving, target::Target, verification::Verifier};

/// Digits of the tokenizer's fingerprint in `system_fingerprint`.
const SHORT_FINGERPRINT: usize = 12;
/// Most ignored parameters that are remembered as logged.
const MAX_LOGGED: usize = 256;
/// Texts that are tokenized at once.
const MAX_TOKENIZING: usize = 2;

/// The verifier, and what answers say of it.
pub(super) struct Api {
    pub(super) verifier: Arc<Verifier>,
    pub(super) budget: Budget,
    /// Permits for texts that are tokenized.
    pub(super) tokenizing: Semaphore,
    /// Start of serving, in seconds since 1970.
    pub(super) created: u64,
    /// Everything but the request that decides the text: model, tokenizer and build.
    pub(super) system_fingerprint: String,
    /// Most tokens of prompt and reply together.
    pub(super) context_length: u32,
    /// Ignored parameters that have been logged.
    logged: Mutex<HashSet<String>>,
}

/// What a request is read for.
#[derive(Clone, Copy)]
pub(super) struct CallContext<'a> {
    pub(super) serving: &'a Serving,
    pub(super) target: &'a Target,
    /// Id of the request.
    pub(super) id: &'a str,
}

impl Api {
    pub(super) fn new(verifier: Arc<Verifier>) -> Self {
        let model = verifier.describe().model;
        let mut tokenizer = model.tokenizer_fingerprint.to_string();
        tokenizer.truncate(SHORT_FINGERPRINT);
        Self {
            verifier,
            budget: Budget::default(),
            tokenizing: Semaphore::new(MAX_TOKENIZING),
            created: now(),
            system_fingerprint: format!("{}_{tokenizer}_{VERSION}", model.name),
            context_length: model.context_length,
            logged: Mutex::default(),
        }
    }

    /// Counts a request that is refused before it is admitted.
    pub(super) fn refused(&self, error: &ApiError) {
        self.verifier.metrics().request("invalid");
        tracing::debug!(%error, "request is refused");
    }

    /// Treatment of a request's unknown parameters: they are refused, or ignored and collected in `ignored`.
    pub(super) fn unknown(&self, ignored: &Ignored) -> Unknown {
        if self.verifier.serving().strict_parameters {
            Unknown::Refused
        } else {
            Unknown::Ignored(ignored.clone())
        }
    }

    /// Logs parameters that were ignored, each once in the life of the process.
    pub(super) fn ignored(&self, paths: &[String]) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            if logged.len() < MAX_LOGGED && logged.insert(path.clone()) {
                tracing::info!(parameter = %path, "an unknown parameter is ignored");
            }
        }
    }

    /// Name of the one model that is served.
    pub(super) fn model(&self) -> &str {
        &self.verifier.serving().model_name
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
