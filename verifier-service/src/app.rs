//! The process put together: model, service, health, metrics, and their common end.

mod fetching;

use std::{future::Future, path::PathBuf, sync::Arc, thread};

use anyhow::Context as _;
use chassis::{
    admin::Admin,
    health::Health,
    http::{Http, HttpLimits},
    lifecycle::{Drained, Lifecycle, Servers},
    metrics as exposition,
    server::{self, ConnectionLimits},
};
use inference::engine::Engine;
use prometheus_client::registry::Registry;
use store::{ModelReference, Store};
use tokio::{net::TcpListener, sync::oneshot};

use self::fetching::Logged;
use crate::{
    NAME, VERSION, calibration,
    config::{Config, Serving},
    http,
    metrics::{Gauges, Metrics},
    service::VerifierService,
    verification::Verifier,
};

/// The service by its full name, for health checks.
const SERVICE: &str = "duet.verifier.v1.Verifier";

/// A verifier that is ready to serve.
pub struct App {
    verifier: Arc<Verifier>,
    health: Health,
    lifecycle: Lifecycle,
    registry: Registry,
    http: Option<TcpListener>,
    admin: Option<TcpListener>,
}

impl App {
    /// Fetches the model if need be and loads it, on a thread of its own. Nothing is bound.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let Config {
            model,
            cache,
            engine,
            serving,
            ..
        } = config;
        let load = move || -> anyhow::Result<Engine> {
            let path = resolve(cache, &model)?;
            Engine::load(&path, engine).with_context(|| format!("cannot load {model}"))
        };
        let (loaded, wait) = oneshot::channel();
        // Not on the runtime: it would wait for the download when the process is told to stop.
        thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || drop(loaded.send(load())))
            .context("cannot start a thread to load the model")?;
        let engine = wait.await.context("loading was given up")??;
        Self::with_engine(engine, serving).await
    }

    /// A verifier over a model that is loaded.
    pub async fn with_engine(engine: Engine, serving: Serving) -> anyhow::Result<Self> {
        engine.info().log(&serving.model_name);
        let mut registry = exposition::registry(NAME, VERSION);
        let metrics = Metrics::new(&mut registry);
        let lifecycle = Lifecycle::new(serving.grace_period);
        let health = Health::new(&[SERVICE]).await;
        let model = engine.clone();
        let fault = async move { model.ended().await };
        lifecycle.broken_by(fault, "the model's thread has ended", &health);
        let costs = calibration::measure(&engine).await;
        let verifier = Verifier::new((engine, costs), serving, metrics, lifecycle.clone());
        let verifier = Arc::new(verifier.context("a drafter cannot be used")?);
        registry.register_collector(Box::new(Gauges(Arc::clone(&verifier))));
        Ok(Self {
            verifier,
            health,
            lifecycle,
            registry,
            http: None,
            admin: None,
        })
    }

    /// The same with the OpenAI-compatible API served over HTTP on `listener`.
    #[must_use]
    pub fn with_http(self, listener: TcpListener) -> Self {
        Self {
            http: Some(listener),
            ..self
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

    /// Serves on `listener` until `shutdown`, then finishes replies within the grace period.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<Drained> {
        let Self {
            verifier,
            health,
            lifecycle,
            registry,
            http,
            admin,
        } = self;
        let reflection = server::reflection(&[proto::FILE_DESCRIPTOR_SET])
            .context("the compiled schema cannot be served")?;
        let http = http.map(|listener| Http {
            listener,
            router: http::router(Arc::clone(&verifier)),
            limits: HttpLimits::default(),
        });
        let router = server::builder(ConnectionLimits::default())
            .add_service(proto::verifier::server(VerifierService::new(verifier)))
            .add_service(health.service())
            .add_service(reflection);
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving");
        }
        let registry = Arc::new(registry);
        let servers = Servers {
            router,
            listener,
            http,
            admin: admin.map(|listener| Admin { listener, registry }),
            health,
        };
        Ok(lifecycle.serve(servers, shutdown).await?)
    }
}

fn resolve(cache: Option<PathBuf>, model: &ModelReference) -> anyhow::Result<PathBuf> {
    Ok(Store::open(cache)?.resolve(model, &mut Logged::default())?)
}
