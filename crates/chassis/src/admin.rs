//! The admin port: metrics and health probes over plain HTTP, for operators. It stays up while the process drains.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::State as Shared,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    exposition,
    health::{Health, State},
};

/// The admin port: its listener and the metrics it serves.
#[derive(Debug)]
pub struct Admin {
    /// Listener of the port.
    pub listener: TcpListener,
    /// Metrics that `GET /metrics` returns.
    pub registry: Arc<Registry>,
}

impl Admin {
    /// Serves until `stop`. `GET /livez` fails if only a restart can help, `GET /readyz` if the process is not serving.
    pub async fn serve(self, health: Health, stop: CancellationToken) -> io::Result<()> {
        let router = Router::new()
            .merge(exposition::route(self.registry))
            .route("/livez", get(live).with_state(health.clone()))
            .route("/readyz", get(ready).with_state(health));
        if let Ok(address) = self.listener.local_addr() {
            tracing::info!(%address, "serving metrics and probes");
        }
        axum::serve(self.listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
    }
}

async fn live(Shared(health): Shared<Health>) -> Response {
    probe(health.state(), |state| state != State::Broken)
}

async fn ready(Shared(health): Shared<Health>) -> Response {
    probe(health.state(), |state| state == State::Serving)
}

fn probe(state: State, passes: impl Fn(State) -> bool) -> Response {
    let code = if passes(state) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, format!("{state:?}\n").to_lowercase()).into_response()
}
