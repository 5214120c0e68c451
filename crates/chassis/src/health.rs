//! Health of a process, kept in one place: the gRPC health service and the admin port report the same.

use std::sync::Arc;

use tokio::sync::watch;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// State of a process in its life.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Loading.
    Starting,
    /// Ready for requests.
    Serving,
    /// Finishing accepted requests.
    Stopping,
    /// Unable to serve again: must be restarted.
    Broken,
}

/// Health of a process. Cheap to clone. States only move forwards: a stopping process does not serve again.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<[&'static str]>,
    state: Arc<watch::Sender<State>>,
}

impl Health {
    /// Health that starts as [`State::Starting`]. `services` are the full names of the gRPC services to report on, in addition
    /// to "", the process.
    pub async fn new(services: &[&'static str]) -> Self {
        let services = std::iter::once("")
            .chain(services.iter().copied())
            .collect();
        let state = Arc::new(watch::Sender::new(State::Starting));
        let health = Self {
            reporter: HealthReporter::new(),
            services,
            state,
        };
        health.report(ServingStatus::NotServing).await;
        health
    }

    /// The standard gRPC health service.
    pub fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Current state.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Moves on to `state`. A move backwards is ignored: it comes from a task that does not know the latest state yet.
    pub async fn set(&self, state: State) {
        let moved = self.state.send_if_modified(|current| {
            let forwards = state > *current;
            *current = state.max(*current);
            forwards
        });
        if moved {
            let serving = state == State::Serving;
            let status = if serving {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            self.report(status).await;
            tracing::info!(?state, "health has changed");
        }
    }

    /// Ends the streams of watchers after they have received the last state; open ones would keep a server from draining.
    pub(crate) async fn dismiss_watchers(&self) {
        let mut reporter = self.reporter.clone();
        for service in self.services.iter() {
            reporter.clear_service_status(service).await;
        }
    }

    async fn report(&self, status: ServingStatus) {
        for service in self.services.iter() {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
