//! From `Open` to a session: cheap checks come first, then the limit of sessions, then the proposer reads the prompt.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alignment::acceptance::Method;
use inference::engine::{Engine, EngineError};
use proto::{
    CommittedText,
    drafter::{FromDrafter, Open, Opened},
    model,
};
use serving::request;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    cascade::Cascade,
    chooser::{Chooser, Plan},
    context::Context,
    draft_model::ModelProposer,
    drafter::{DraftModel, Drafter},
    lookup::{Lookup, SURE_BEFORE_MODEL},
    proposer::{Bounds, Proposer},
    session::{Session, Terms},
    stream::VerifierStream,
    vocabulary::LONGEST_DRAWN,
};
use crate::{error::DraftError, source::Source};

impl Drafter {
    /// Opens a session and says so. A failure here ends the stream with a status.
    pub(super) async fn open(&self, stream: &mut VerifierStream) -> Result<Session, DraftError> {
        let mut open = stream.opening().await?;
        tracing::Span::current().record("session", &open.session_id);
        let plan = self.plan(&open)?;
        let method = plan.method;
        let bounds = self.bounds(&open, method)?;
        let credit = open.credit.min(self.serving.limits.max_credit);
        let permit = self.admit()?;
        let committed = CommittedText::resumed(&std::mem::take(&mut open.committed))
            .map_err(|error| error.within("open"))?;
        let terms = Terms {
            bounds,
            credit,
            most_tokens: open.max_block_tokens,
            draws_whole: method.needs_ids(),
            accepts_trees: open.accepts_trees,
        };
        let first = open.first_wish();
        let proposer = self.proposer(open.prompt, plan, stream).await?;
        let mut session = Session::new(proposer, (terms, first), permit, self.metrics.clone());
        let limit = self.context_length();
        let taken_in = session.resume(committed);
        check_room("open.committed", taken_in + 1, limit)?;
        let began = Instant::now();
        session.prepare(stream).await?;
        let prepared = began.elapsed().as_secs_f64();
        self.metrics.prefill_seconds.observe(prepared);
        stream
            .send(FromDrafter::Opened(Opened {
                model: self.serving.model_name.clone(),
                tokenizer_fingerprint: self.fingerprint(),
                block_tokens: bounds.tokens as u32,
                max_block_bytes: bounds.bytes as u32,
                credit,
                context_left: (limit - taken_in) as u32,
            }))
            .await?;
        Ok(session)
    }

    /// Room for a session, or a refusal.
    fn admit(&self) -> Result<OwnedSemaphorePermit, DraftError> {
        let limit = self.serving.limits.max_sessions as usize;
        let permit = Arc::clone(&self.room).try_acquire_owned();
        permit.map_err(|_| DraftError::Busy { limit })
    }

    /// Proposer of one session.
    async fn proposer(
        &self,
        prompt: model::Prompt,
        plan: Plan,
        stream: &mut VerifierStream,
    ) -> Result<Box<dyn Proposer>, DraftError> {
        if matches!(prompt, model::Prompt::Tokens(_)) {
            let expected = "text, since ids mean nothing to another vocabulary";
            return Err(DraftError::field("open.prompt", "a list of ids", expected));
        }
        Ok(match &self.source {
            Source::Lookup => Box::new(self.lookup(prompt, 0.0).await?.0),
            Source::Model(model) => Box::new(self.with_model(model, prompt, plan, stream).await?),
            Source::Cascade(model) => {
                let (lookup, prompt) = self.lookup(prompt, SURE_BEFORE_MODEL).await?;
                let model = self.with_model(model, prompt, plan, stream).await?;
                Box::new(Cascade::new(lookup, model))
            }
        })
    }

    /// Look-up in the prompt, which is returned. Off the runtime's threads, as encoding is: a long prompt takes its time.
    async fn lookup(
        &self,
        prompt: model::Prompt,
        sure: f64,
    ) -> Result<(Lookup, model::Prompt), DraftError> {
        let metrics = self.metrics.clone();
        let index = move || (Lookup::new(&prompt, sure, metrics), prompt);
        let indexed = self.tasks().spawn_blocking(index).await;
        indexed.map_err(|_| DraftError::Encoding)
    }

    async fn with_model(
        &self,
        model: &DraftModel,
        prompt: model::Prompt,
        plan: Plan,
        stream: &mut VerifierStream,
    ) -> Result<ModelProposer, DraftError> {
        let opened = model.engine.open().map_err(|error| match error {
            EngineError::Full { limit, .. } => DraftError::Busy { limit },
            error => DraftError::Engine(error),
        })?;
        // A block that is refused at once is worth more to the verifier than one that is late.
        let positions = opened.with_queue_wait(Duration::ZERO);
        let encoding = self.encode(model.engine.clone(), prompt);
        let prompt = stream.unless_over(encoding).await??;
        let limit = model.engine.info().context_length;
        check_room("open.prompt", prompt.len() + 1, limit)?;
        let draws_whole = plan.method.needs_ids();
        let chooser = Chooser::new(Arc::clone(&model.vocabulary), plan, &prompt);
        let context = Context::new(Arc::clone(&model.vocabulary), prompt, limit);
        let metrics = self.metrics.clone();
        let both = (context, chooser);
        Ok(ModelProposer::new(positions, both, draws_whole, metrics))
    }

    /// Rules of choosing for a session, after the checks that need no model.
    fn plan(&self, open: &Open) -> Result<Plan, DraftError> {
        let known = open.method.parse::<Method>().ok();
        let method = known.filter(|method| self.methods().any(|known| known == *method));
        let method = method.ok_or_else(|| DraftError::Method {
            method: open.method.clone(),
            supported: self
                .methods()
                .map(Method::name)
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        let actual = self.fingerprint();
        if let Some(expected) = open
            .expected_fingerprint
            .filter(|expected| *expected != actual)
        {
            let model = self.serving.model_name.clone();
            return Err(DraftError::Fingerprint {
                expected,
                actual,
                model,
            });
        }
        let (bytes, most) = (
            open.prompt.content_bytes(),
            self.serving.limits.max_prompt_bytes,
        );
        if bytes > most as usize {
            let found = format!("{bytes} bytes long");
            return Err(DraftError::field(
                "open.prompt",
                found,
                format!("at most {most} bytes"),
            ));
        }
        let sampling = request::sampling(open.sampling, Vec::new());
        let model = self.source.model();
        let ids = model.map_or(usize::MAX, |model| model.vocabulary.size());
        sampling.validate(ids).map_err(DraftError::sampling)?;
        Ok(Plan {
            method,
            sampling,
            seed: open.seed,
            sharpness: open.sharpness,
            drawable: open.drawable.clone(),
        })
    }

    fn bounds(&self, open: &Open, method: Method) -> Result<Bounds, DraftError> {
        let limits = &self.serving.limits;
        let mut tokens = open.max_block_tokens.min(limits.max_block_tokens) as usize;
        let bytes = open.max_block_bytes.min(limits.max_block_bytes) as usize;
        if method.needs_ids() {
            // A block that could be cut for its bytes would be cut for what was drawn.
            tokens = tokens.min(bytes / LONGEST_DRAWN);
        }
        if tokens == 0 {
            let expected =
                format!("at least {LONGEST_DRAWN} for {method}, the longest token drawn");
            let found = format!("{bytes} here");
            return Err(DraftError::field("open.max_block_bytes", found, expected));
        }
        Ok(Bounds { tokens, bytes })
    }

    /// The prompt's tokens. A long one takes a second, so it is not encoded on the runtime's threads.
    async fn encode(&self, engine: Engine, prompt: model::Prompt) -> Result<Vec<u32>, DraftError> {
        let prompt = request::prompt(prompt).map_err(|error| error.within("open.prompt"))?;
        let (encoded, wait) = oneshot::channel();
        self.tasks().spawn_blocking(move || {
            // The session may have ended.
            drop(encoded.send(engine.encode_prompt(&prompt)));
        });
        let ids = wait.await.map_err(|_| DraftError::Encoding)?;
        let ids = ids.map_err(DraftError::Template)?;
        if ids.is_empty() {
            return Err(DraftError::field(
                "open.prompt",
                "without tokens",
                "at least one token",
            ));
        }
        Ok(ids)
    }
}

/// Refuses a text that leaves no position to draft at.
fn check_room(field: &str, needed: usize, limit: usize) -> Result<(), DraftError> {
    if needed <= limit {
        return Ok(());
    }
    let found = format!("so long that {needed} positions or more are needed");
    let expected = format!("within the draft model's context of {limit}");
    Err(DraftError::field(field, found, expected))
}
