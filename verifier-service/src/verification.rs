//! Verification: admission of requests, and the rounds that make a reply.

mod block;
mod decider;
mod detail;
mod drafting_peer;
mod drawn_distributions;
mod logprobs;
mod pacing;
mod pair_check;
mod probabilities;
mod proposal;
mod reply_text;
mod request_plan;
mod round;
mod session;
mod shared;
mod stops;
mod usage_account;

use std::{sync::Arc, time::Instant};

use ::pacing::VerifyCost;
use alignment::acceptance::Method;
use chassis::{channel::AddressError, lifecycle::Lifecycle};
use inference::engine::{Engine, EngineError, Load};
use proto::{
    limits::MAX_PROMPT_BYTES,
    model::{self, Build, Fingerprint, Model},
    verifier::{Description, DrafterStatus, Generate, Limits, PROTOCOL_VERSION},
};
use tokio::sync::Semaphore;

use crate::{
    NAME, VERSION, admission::Admission, config::Serving, drafters::Drafters, error::GenerateError,
    lexicon::Lexicons, metrics::Metrics, target::Target,
};
use pacing::SharedPasses;
use request_plan::RequestPlan;
pub(crate) use request_plan::fresh_id;
use session::Admitted;
pub(crate) use session::{Parts, Session};
use shared::Shared;
use tokenizer::template::TemplateError;

/// The verifier: admits requests and describes itself.
pub(crate) struct Verifier {
    shared: Arc<Shared>,
    serving: Serving,
    admission: Admission,
    /// Permit for checks of pairs, one at a time: each keeps a core busy for a while.
    checks: Arc<Semaphore>,
}

/// Load of a verifier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busyness {
    pub(crate) requests: usize,
    pub(crate) engine: Load,
}

impl Verifier {
    /// Verifier over a model and the measured cost of its passes. Probes drafters on the runtime.
    pub(crate) fn new(
        (engine, costs): (Engine, VerifyCost),
        serving: Serving,
        metrics: Metrics,
        lifecycle: Lifecycle,
    ) -> Result<Self, AddressError> {
        let drafters = Drafters::new(&serving.drafters, serving.deadline)?;
        drafters.probe(&lifecycle);
        let passes = SharedPasses::new(engine.clone(), costs);
        let target = Arc::new(Target::new(engine));
        let shared = Shared {
            lexicons: Lexicons::new(Arc::clone(&target), lifecycle.clone()),
            target,
            drafters,
            passes,
            metrics,
            lifecycle,
        };
        Ok(Self {
            shared: Arc::new(shared),
            admission: Admission::new(serving.max_sessions),
            serving,
            checks: Arc::new(Semaphore::new(1)),
        })
    }

    /// Admits a request, or refuses it at once: the prompt is encoded after all cheaper checks.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        request: Generate,
    ) -> Result<Session, GenerateError> {
        let admitted = self.try_admit(request).await;
        admitted.inspect_err(|error| self.refused(error))
    }

    /// Counts a request that is refused.
    pub(crate) fn refused(&self, error: &GenerateError) {
        self.shared.metrics.request(match error {
            GenerateError::Busy { .. } => "busy",
            GenerateError::Stopping => "stopping",
            GenerateError::NoDrafter { .. } => "no_drafter",
            GenerateError::Field(_) | GenerateError::Method { .. } | GenerateError::Template(_) => {
                "invalid"
            }
            GenerateError::Unread(_)
            | GenerateError::Engine(_)
            | GenerateError::Distribution(_) => "failed",
        });
        tracing::debug!(%error, "request is refused");
    }

    async fn try_admit(self: &Arc<Self>, request: Generate) -> Result<Session, GenerateError> {
        let since = Instant::now();
        if self.shared.lifecycle.stopping().is_cancelled() {
            return Err(GenerateError::Stopping);
        }
        let plan = RequestPlan::new(&request, &self.serving, self.shared.target.vocab_size())?;
        if plan.speculates
            && request.requires_drafter
            && !self
                .shared
                .drafters
                .is_in_use(self.shared.lexicons.wanted(plan.method))
        {
            let method = plan.method.name();
            return Err(GenerateError::NoDrafter { method });
        }
        let permit = self.admission.admit().map_err(|after| self.busy(after))?;
        let prompt = self.encode(request).await?;
        let model = self
            .shared
            .target
            .engine()
            .open()
            .map_err(|error| match error {
                // The engine still counts sessions that have just ended.
                EngineError::Full { .. } => self.busy(std::time::Duration::from_secs(1)),
                error => error.into(),
            })?;
        let admitted = Admitted {
            plan,
            prompt,
            model,
            permit,
            since,
        };
        Ok(Session::new(Arc::clone(&self.shared), admitted))
    }

    /// Model, methods, limits and drafters, with the requests in progress.
    pub(crate) fn describe(&self) -> Description {
        let method = |method: Method| model::Method {
            name: method.name().to_owned(),
            lossless: method.is_lossless(),
            needs_distributions: method.needs_distributions(),
        };
        Description {
            build: Build::of(NAME, VERSION, PROTOCOL_VERSION),
            model: self.describe_model(),
            methods: Method::ALL.map(method).to_vec(),
            limits: Limits {
                max_sessions: self.admission.limit() as u32,
                max_tokens: self.serving.max_tokens,
                max_prompt_bytes: MAX_PROMPT_BYTES as u32,
                max_block_tokens: self.serving.block_length,
            },
            drafters: self.shared.drafters.status(),
            sessions: self.admission.in_progress() as u32,
        }
    }

    /// Limits and choices for requests.
    pub(crate) fn serving(&self) -> &Serving {
        &self.serving
    }

    pub(crate) fn load(&self) -> Busyness {
        Busyness {
            requests: self.admission.in_progress(),
            engine: self.shared.target.engine().load_now(),
        }
    }

    pub(crate) fn drafters(&self) -> Vec<DrafterStatus> {
        self.shared.drafters.status()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    fn busy(&self, retry_after: std::time::Duration) -> GenerateError {
        GenerateError::Busy {
            limit: self.admission.limit(),
            queued: self.load().engine.queued,
            retry_after,
        }
    }

    /// Target ids of a prompt. A long one takes a while, so the runtime's threads do not encode it.
    async fn encode(&self, request: Generate) -> Result<Vec<u32>, GenerateError> {
        let target = Arc::clone(&self.shared.target);
        let is_text = matches!(request.prompt, model::Prompt::Text(_));
        let encoding = move || {
            target
                .engine()
                .encode_prompt(&serving::request::prompt(request.prompt))
        };
        let encoded = self.shared.lifecycle.tasks().spawn_blocking(encoding).await;
        let prompt = match encoded {
            Ok(encoded) => encoded.map_err(template_error)?,
            Err(_) => return Err(GenerateError::Engine(EngineError::Stopped)),
        };
        let (tokens, limit) = (
            prompt.len(),
            self.shared.target.engine().info().context_length,
        );
        if tokens == 0 || tokens > limit {
            let field = if is_text {
                "prompt.text"
            } else {
                "prompt.conversation"
            };
            let found = format!("{tokens} tokens long");
            let expected = format!("1 to {limit} tokens, what the context holds");
            return Err(GenerateError::field(field, found, expected));
        }
        Ok(prompt)
    }

    fn describe_model(&self) -> Model {
        let info = self.shared.target.engine().info();
        let tokenizer = self.shared.target.tokenizer();
        let device = if info.batch_invariant {
            "cpu"
        } else {
            &info.kernels
        };
        Model {
            name: self.serving.model_name.clone(),
            architecture: info.architecture.clone(),
            quantisation: info.quantisation.clone(),
            requantised: info.requantised.clone(),
            kernels: info.kernels.clone(),
            parameters: info.parameters,
            context_length: info.context_length as u32,
            vocabulary_size: tokenizer.vocab_size() as u32,
            tokenizer_family: tokenizer.family().to_owned(),
            tokenizer_fingerprint: Fingerprint(tokenizer.fingerprint()),
            device: device.to_lowercase(),
            threads: info.threads as u32,
        }
    }
}

fn template_error(error: TemplateError) -> GenerateError {
    GenerateError::Template(error)
}
