//! The process put together: a model, the drafter over it, and the frame that serves it.

use std::{future::Future, sync::Arc};

use chassis::lifecycle::Drained;
use inference::engine::Engine;
use serving::{
    frame::{Frame, Identity},
    model::{self, ModelError},
};
use store::StoreError;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{
    NAME, VERSION,
    config::{Config, Serving},
    drafting::Drafter,
    metrics::Metrics,
    service::DrafterService,
    source::Source,
};

const IDENTITY: Identity = Identity {
    name: NAME,
    version: VERSION,
    service: "duet.drafter.v1.Drafter",
};

/// A drafter that is ready to serve.
pub struct App {
    drafter: Arc<Drafter>,
    frame: Frame,
}

impl App {
    /// Fetches the model if need be and loads it, on a thread of its own. Nothing is bound.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let Config {
            source,
            cache,
            engine,
            serving,
            ..
        } = config;
        let load = move || source.try_map(|model| model::load(&model, cache, engine));
        let source = model::on_own_thread(load).await.map_err(explained)?;
        Ok(Self::with_source(source, serving).await)
    }

    /// A drafter over a model that is loaded.
    pub async fn with_engine(engine: Engine, serving: Serving) -> Self {
        Self::with_source(Source::Model(engine), serving).await
    }

    /// A drafter over what is loaded.
    pub async fn with_source(source: Source<Engine>, serving: Serving) -> Self {
        if let Some(engine) = source.model() {
            engine.info().log(&serving.model_name);
        } else {
            tracing::info!(model = serving.model_name, "drafts without a model");
        }
        let mut frame = Frame::new(IDENTITY, serving.grace_period).await;
        let metrics = Metrics::new(frame.registry());
        if let Some(engine) = source.model() {
            Metrics::observe(frame.registry(), engine.clone());
            frame.depend_on(engine);
        }
        let lifecycle = frame.lifecycle().clone();
        Self {
            drafter: Arc::new(Drafter::new(source, serving, metrics, lifecycle)),
            frame,
        }
    }

    /// The same with metrics and probes served over HTTP on `listener`.
    #[must_use]
    pub fn with_admin(self, listener: TcpListener) -> Self {
        Self {
            frame: self.frame.with_admin(listener),
            ..self
        }
    }

    /// Serves on `listener` until `shutdown`, then finishes sessions within the grace period.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<Drained> {
        let service = proto::drafter::server(DrafterService::new(self.drafter));
        let routes = Routes::new(service);
        self.frame.serve(listener, routes, |_| None, shutdown).await
    }
}

/// The same error, with a hint for those who look for a model called `ngram` or the like.
fn explained(error: ModelError) -> anyhow::Error {
    match error {
        ModelError::Store(error @ StoreError::UnknownModel { .. }) => {
            anyhow::anyhow!("{error}; ngram drafts without a model, ngram+MODEL with both")
        }
        error => error.into(),
    }
}
