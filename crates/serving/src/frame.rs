//! The frame around a service: health, life, metrics, reflection and the admin port, which are the same for both.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::Context as _;
use chassis::{
    admin::Admin,
    health::Health,
    http::Http,
    lifecycle::{Drained, Lifecycle, Servers},
    metrics as exposition,
    server::{self, ConnectionLimits},
};
use inference::engine::Engine;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tonic::service::Routes;

/// Names of a process.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Name of the program.
    pub name: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// Full name of its gRPC service, for health checks.
    pub service: &'static str,
}

/// The parts of a process that do not depend on what its service does.
#[derive(Debug)]
pub struct Frame {
    health: Health,
    lifecycle: Lifecycle,
    registry: Registry,
    admin: Option<TcpListener>,
}

impl Frame {
    /// A frame that is not serving yet. Once told to stop, it gives sessions `grace` to finish.
    pub async fn new(identity: Identity, grace: Duration) -> Self {
        Self {
            health: Health::new(&[identity.service]).await,
            lifecycle: Lifecycle::new(grace),
            registry: exposition::registry(identity.name, identity.version),
            admin: None,
        }
    }

    /// Life of the process. Clones share it.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Registry of the process's metrics, whose names begin with `duet_`.
    pub fn registry(&mut self) -> &mut Registry {
        exposition::ours(&mut self.registry)
    }

    /// Registry of metrics that other programs have named.
    pub fn registry_of_other_names(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Makes the process broken, to be restarted, when the thread of `engine` ends.
    pub fn depend_on(&self, engine: &Engine) {
        let engine = engine.clone();
        let fault = async move { engine.ended().await };
        let what = "the model's thread has ended";
        self.lifecycle.broken_by(fault, what, &self.health);
    }

    /// The same with metrics and probes served over HTTP on `listener`.
    #[must_use]
    pub fn with_admin(self, listener: TcpListener) -> Self {
        Self {
            admin: Some(listener),
            ..self
        }
    }

    /// Serves `services` on `listener`, and what `http` makes if that is anything, until `shutdown`. Sessions then finish within
    /// the grace period. `http` gets all metrics.
    pub async fn serve(
        self,
        listener: TcpListener,
        services: Routes,
        http: impl FnOnce(Arc<Registry>) -> Option<Http>,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<Drained> {
        let Self {
            health,
            lifecycle,
            registry,
            admin,
        } = self;
        let reflection = server::reflection(&[proto::FILE_DESCRIPTOR_SET])
            .context("the compiled schema cannot be served")?;
        let router = server::builder(ConnectionLimits::default())
            .add_routes(services)
            .add_service(health.service())
            .add_service(reflection);
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving");
        }
        let registry = Arc::new(registry);
        let servers = Servers {
            router,
            listener,
            http: http(Arc::clone(&registry)),
            admin: admin.map(|listener| Admin { listener, registry }),
            health,
        };
        Ok(lifecycle.serve(servers, shutdown).await?)
    }
}
