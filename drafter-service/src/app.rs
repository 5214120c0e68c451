//! The process put together: model, service, health, metrics, and their common end.

mod fetching;

use std::{future::Future, path::PathBuf, sync::Arc, thread};

use anyhow::Context as _;
use chassis::{
    admin::Admin,
    health::Health,
    lifecycle::{Drained, Lifecycle, Servers},
    metrics as exposition,
    server::{self, ConnectionLimits},
};
use inference::engine::Engine;
use prometheus_client::registry::Registry;
use store::{ModelReference, Store, StoreError};
use tokio::{net::TcpListener, sync::oneshot};

use self::fetching::Logged;
use crate::{
    NAME, VERSION,
    config::{Config, Serving},
    drafting::Drafter,
    metrics::{Gauges, Metrics},
    service::DrafterService,
    source::Source,
};

/// The service by its full name, for health checks.
const SERVICE: &str = "duet.drafter.v1.Drafter";

/// A drafter that is ready to serve.
pub struct App {
    drafter: Arc<Drafter>,
    health: Health,
    lifecycle: Lifecycle,
    registry: Registry,
    admin: Option<TcpListener>,
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
        let load = move || {
            source.try_map(|model| {
                let path = resolve(cache, &model)?;
                Engine::load(&path, engine).with_context(|| format!("cannot load {model}"))
            })
        };
        let (loaded, wait) = oneshot::channel();
        // Not on the runtime: it would wait for the download when the process is told to stop.
        thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || drop(loaded.send(load())))
            .context("cannot start a thread to load the model")?;
        let source = wait.await.context("loading was given up")??;
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
        let mut registry = exposition::registry(NAME, VERSION);
        let metrics = Metrics::new(&mut registry);
        let lifecycle = Lifecycle::new(serving.grace_period);
        let health = Health::new(&[SERVICE]).await;
        if let Some(engine) = source.model() {
            registry.register_collector(Box::new(Gauges(engine.clone())));
            let model = engine.clone();
            let fault = async move { model.ended().await };
            lifecycle.broken_by(fault, "the model's thread has ended", &health);
        }
        Self {
            drafter: Arc::new(Drafter::new(source, serving, metrics, lifecycle.clone())),
            health,
            lifecycle,
            registry,
            admin: None,
        }
    }

    /// The same with metrics and probes served over HTTP on `listener`.
    #[must_use]
    pub fn with_admin(self, listener: TcpListener) -> Self {
        Self {
            admin: Some(listener),
            ..self
        }
    }

    /// Serves on `listener` until `shutdown`, then finishes sessions within the grace period.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<Drained> {
        let Self {
            drafter,
            health,
            lifecycle,
            registry,
            admin,
        } = self;
        let reflection = server::reflection(&[proto::FILE_DESCRIPTOR_SET])
            .context("the compiled schema cannot be served")?;
        let router = server::builder(ConnectionLimits::default())
            .add_service(proto::drafter::server(DrafterService::new(drafter)))
            .add_service(health.service())
            .add_service(reflection);
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving");
        }
        let registry = Arc::new(registry);
        let servers = Servers {
            router,
            listener,
            http: None,
            admin: admin.map(|listener| Admin { listener, registry }),
            health,
        };
        Ok(lifecycle.serve(servers, shutdown).await?)
    }
}

fn resolve(cache: Option<PathBuf>, model: &ModelReference) -> anyhow::Result<PathBuf> {
    let resolved = Store::open(cache)?.resolve(model, &mut Logged::default());
    resolved.map_err(|error| match error {
        StoreError::UnknownModel { .. } => {
            anyhow::anyhow!("{error}; ngram drafts without a model, ngram+MODEL with both")
        }
        error => error.into(),
    })
}
