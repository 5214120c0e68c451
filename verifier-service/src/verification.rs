//! Verification: admission of requests, and the rounds that make a reply.

mod block;
mod decider;
mod detail;
mod drafter_prompt;
mod drafting_peer;
mod drawn_distributions;
mod grammar_walk;
mod latency;
mod logprobs;
mod own_block;
mod pacing;
mod pair_check;
mod prediction;
mod probabilities;
mod proposal;
mod reading;
mod reply_text;
mod request_plan;
mod round;
mod session;
mod shared;
mod span;
mod stops;
mod usage_account;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::pacing::VerifyCost;
use alignment::acceptance::Method;
use chassis::{channel::AddressError, lifecycle::Lifecycle};
use inference::engine::{Engine, EngineError, Load};
use proto::{
    limits::MAX_PROMPT_BYTES,
    model::{self, Build, Fingerprint, Model},
    verifier::{Description, DrafterStatus, Generate, Grammar, Limits, PROTOCOL_VERSION},
};
use tokio::sync::Semaphore;

use crate::{
    NAME, VERSION,
    admission::{Admission, Permit},
    config::Serving,
    drafters::Drafters,
    error::GenerateError,
    grammars::CompiledGrammars,
    lexicon::Lexicons,
    metrics::Metrics,
    target::Target,
};
use grammar_walk::GrammarWalk;
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
    pub(crate) waiting: usize,
    pub(crate) places: usize,
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
            grammars: CompiledGrammars::new(Arc::clone(&target)),
            target,
            drafters,
            passes,
            metrics,
            lifecycle,
            model_name: serving.model_name.clone(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            admission: Admission::new(serving.admission),
            serving,
            checks: Arc::new(Semaphore::new(1)),
        })
    }

    /// Admits a request, or refuses it: at once if it cannot be served, else after its wait for a place.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        request: Generate,
    ) -> Result<Session, GenerateError> {
        let mut admitted = self.admit_all(vec![request]).await?;
        admitted.pop().ok_or(GenerateError::Stopping)
    }

    /// The same for requests that begin together: all are admitted, or none.
    pub(crate) async fn admit_all(
        self: &Arc<Self>,
        requests: Vec<Generate>,
    ) -> Result<Vec<Session>, GenerateError> {
        let admitted = self.try_admit(requests).await;
        admitted.inspect_err(|error| self.refused(error))
    }

    /// Counts a request that is refused.
    pub(crate) fn refused(&self, error: &GenerateError) {
        self.shared.metrics.request(match error {
            GenerateError::Busy { .. } => "busy",
            GenerateError::Stopping => "stopping",
            GenerateError::NoDrafter { .. } => "no_drafter",
            GenerateError::Field(_)
            | GenerateError::ContextExceeded { .. }
            | GenerateError::Method { .. }
            | GenerateError::Template(_)
            | GenerateError::Grammar(_) => "invalid",
            GenerateError::Unread(_)
            | GenerateError::Engine(_)
            | GenerateError::Distribution(_) => "failed",
        });
        tracing::debug!(%error, "request is refused");
    }

    async fn try_admit(
        self: &Arc<Self>,
        requests: Vec<Generate>,
    ) -> Result<Vec<Session>, GenerateError> {
        if self.is_stopping() {
            return Err(GenerateError::Stopping);
        }
        let arrived = Instant::now();
        let plan = |request: &Generate| self.plan(request);
        let plans: Vec<RequestPlan> = requests.iter().map(plan).collect::<Result<_, _>>()?;
        let permits = self.places(plans.len()).await?;
        // Time in the queue is none of the reply's.
        let since = Instant::now();
        let mut sessions = Vec::with_capacity(plans.len());
        for ((request, plan), permit) in requests.into_iter().zip(plans).zip(permits) {
            let grammar = self.grammar(request.grammar.clone()).await?;
            let prompt = self.encode(request).await?;
            let engine = self.shared.target.engine();
            let model = engine.open().map_err(|error| match error {
                // The engine still counts sessions that have just ended.
                EngineError::Full { .. } => self.busy(Duration::from_secs(1)),
                error => error.into(),
            })?;
            let admitted = Admitted {
                plan,
                prompt,
                grammar,
                model,
                permit,
                arrived,
                since,
            };
            sessions.push(Session::new(Arc::clone(&self.shared), admitted));
        }
        Ok(sessions)
    }

    /// Plan of a request, after the checks that need neither a place nor the model.
    fn plan(&self, request: &Generate) -> Result<RequestPlan, GenerateError> {
        let vocab_size = self.shared.target.vocab_size();
        let mut plan = RequestPlan::new(request, &self.serving, vocab_size)?;
        plan.open.prompt = drafter_prompt::of(&self.shared.target, &request.prompt)?;
        let wanted = || self.shared.lexicons.wanted(plan.method);
        if plan.speculates && request.requires_drafter && !self.shared.drafters.is_in_use(wanted())
        {
            let method = plan.method.name();
            return Err(GenerateError::NoDrafter { method });
        }
        Ok(plan)
    }

    /// Number of tokens of a request's prompt, even if it does not fit. The request has a place meanwhile, as others have.
    pub(crate) async fn count_tokens(&self, request: Generate) -> Result<usize, GenerateError> {
        let counting = async {
            let _permits = self.places(1).await?;
            Ok(self.tokens(request.prompt).await?.len())
        };
        let counted = counting.await;
        counted.inspect_err(|error| self.refused(error))
    }

    /// True once the process has been told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shared.lifecycle.stopping().is_cancelled()
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

    /// Engine of the target model.
    pub(crate) fn engine(&self) -> &Engine {
        self.shared.target.engine()
    }

    /// Runs work that takes a while, and that shutdown waits for, away from the runtime's threads.
    pub(crate) async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, GenerateError> {
        let working = self.shared.lifecycle.tasks().spawn_blocking(work).await;
        working.map_err(|_| GenerateError::Engine(EngineError::Stopped))
    }

    /// The target model.
    pub(crate) fn target(&self) -> &Target {
        &self.shared.target
    }

    pub(crate) fn load(&self) -> Busyness {
        Busyness {
            requests: self.admission.in_progress(),
            waiting: self.admission.waiting(),
            places: self.admission.limit(),
            engine: self.shared.target.engine().load_now(),
        }
    }

    pub(crate) fn drafters(&self) -> Vec<DrafterStatus> {
        self.shared.drafters.status()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    fn busy(&self, retry_after: Duration) -> GenerateError {
        GenerateError::Busy {
            limit: self.admission.limit(),
            queued: self.load().engine.queued,
            retry_after,
        }
    }

    /// Way through a request's grammar. Compiling it takes a while, so the runtime's threads do not.
    async fn grammar(
        &self,
        grammar: Option<Grammar>,
    ) -> Result<Option<GrammarWalk>, GenerateError> {
        let Some(grammar) = grammar else {
            return Ok(None);
        };
        let shared = Arc::clone(&self.shared);
        let compiling = move || {
            let guide = shared.grammars.guide(&grammar.rule)?;
            Ok(GrammarWalk::new(guide, grammar.after.as_deref()))
        };
        let compiled = self.on_blocking_thread(compiling).await?;
        compiled.map(Some).map_err(GenerateError::Grammar)
    }

    /// Places for requests that begin together, after a wait if need be.
    async fn places(&self, count: usize) -> Result<Vec<Permit>, GenerateError> {
        let permits = tokio::select! {
            permits = self.admission.admit(count) => permits,
            () = self.shared.lifecycle.stopping().cancelled() => {
                return Err(GenerateError::Stopping);
            }
        };
        permits.map_err(|after| self.busy(after))
    }

    /// Target ids of a prompt that fits.
    async fn encode(&self, request: Generate) -> Result<Vec<u32>, GenerateError> {
        let field = match &request.prompt {
            model::Prompt::Text(_) => "prompt.text",
            model::Prompt::Conversation(_) => "prompt.conversation",
            model::Prompt::Tokens(_) => "prompt.tokens",
            model::Prompt::Infill { .. } => "prompt.infill",
        };
        let prompt = self.tokens(request.prompt).await?;
        let (tokens, limit) = (
            prompt.len(),
            self.shared.target.engine().info().context_length,
        );
        if tokens == 0 {
            let expected = format!("1 to {limit} tokens long");
            return Err(GenerateError::field(field, "without tokens", expected));
        }
        if tokens > limit {
            return Err(GenerateError::ContextExceeded {
                field,
                tokens,
                limit,
            });
        }
        Ok(prompt)
    }

    /// Target ids of any prompt. A long one takes a while, so the runtime's threads do not encode it.
    async fn tokens(&self, prompt: model::Prompt) -> Result<Vec<u32>, GenerateError> {
        let target = Arc::clone(&self.shared.target);
        let prompt = serving::request::prompt(prompt);
        let prompt = prompt.map_err(|error| error.within("prompt"))?;
        let encoding = move || target.engine().encode_prompt(&prompt);
        let encoded = self.on_blocking_thread(encoding).await?;
        encoded.map_err(template_error)
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
