//! The process put together: a model, the verifier over it, and the frame that serves it.

use std::{future::Future, sync::Arc};

use anyhow::Context as _;
use chassis::{
    exposition,
    http::{Http, HttpLimits},
    lifecycle::Drained,
};
use inference::engine::Engine;
use serving::{
    frame::{Frame, Identity},
    model,
};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{
    NAME, VERSION, calibration,
    config::{Config, Serving},
    http,
    metrics::{Metrics, Snapshot},
    service::VerifierService,
    verification::Verifier,
};

const IDENTITY: Identity = Identity {
    name: NAME,
    version: VERSION,
    service: "duet.verifier.v1.Verifier",
};

/// A verifier that is ready to serve.
pub struct App {
    verifier: Arc<Verifier>,
    frame: Frame,
    http: Option<TcpListener>,
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
        let engine = model::on_own_thread(move || model::load(&model, cache, engine)).await?;
        Self::with_engine(engine, serving).await
    }

    /// A verifier over a model that is loaded.
    pub async fn with_engine(engine: Engine, serving: Serving) -> anyhow::Result<Self> {
        engine.info().log(&serving.model_name);
        let mut frame = Frame::new(IDENTITY, serving.grace_period).await;
        let metrics = Metrics::new(frame.registry());
        frame.depend_on(&engine);
        let costs = calibration::measure(&engine).await;
        let lifecycle = frame.lifecycle().clone();
        let verifier = Verifier::new((engine, costs), serving, metrics, lifecycle);
        let verifier = Arc::new(verifier.context("a drafter cannot be used")?);
        let observed = Arc::clone(&verifier);
        Metrics::observe(frame.registry(), move || snapshot(&observed));
        let serving = verifier.serving();
        if serving.http.vllm_metrics {
            let observed = Arc::clone(&verifier);
            let registry = frame.registry_of_other_names();
            Metrics::observe_as_vllm(registry, &serving.model_name, move || snapshot(&observed));
        }
        Ok(Self {
            verifier,
            frame,
            http: None,
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
            frame: self.frame.with_admin(listener),
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
            frame,
            http,
        } = self;
        let served = Arc::clone(&verifier);
        let http = |registry| {
            let listener = http?;
            let address = listener.local_addr().ok().map(|address| address.ip());
            Some(Http {
                listener,
                router: http::router(served, address, exposition::route(registry)),
                limits: HttpLimits::default(),
            })
        };
        let routes = Routes::new(proto::verifier::server(VerifierService::new(verifier)));
        frame.serve(listener, routes, http, shutdown).await
    }
}

fn snapshot(verifier: &Verifier) -> Snapshot {
    let load = verifier.load();
    Snapshot {
        requests: load.requests,
        waiting: load.waiting,
        places: load.places,
        engine: load.engine,
        drafters: verifier.drafters(),
    }
}
