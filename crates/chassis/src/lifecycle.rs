//! The life of a server: serve, receive a signal to stop, finish accepted requests, end.

use std::{future::Future, io, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal as listen},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::server::{Router, TcpIncoming};

use crate::{
    admin::Admin,
    health::{Health, State},
    http::Http,
};

/// Longest time for work to report that it was cut off, and for a scrape of the admin port to finish.
const LINGER: Duration = Duration::from_secs(2);

/// Signals and tasks that connect a process's work to its end. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    stopping: CancellationToken,
    cut_off: CancellationToken,
    tasks: TaskTracker,
    grace: Duration,
}

/// Servers of a process.
#[derive(Debug)]
pub struct Servers {
    /// The gRPC services, on top of [`crate::server::builder`].
    pub router: Router,
    /// Listener of the gRPC services.
    pub listener: TcpListener,
    /// The port for HTTP clients, if there is one.
    pub http: Option<Http>,
    /// The admin port, if there is one.
    pub admin: Option<Admin>,
    /// Health of the process.
    pub health: Health,
}

/// End of a drain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drained {
    /// All accepted work has finished.
    Finished,
    /// The grace period ended before that.
    CutOff {
        /// Number of unfinished tasks.
        tasks: usize,
    },
}

/// Failure that ended serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The gRPC server failed.
    #[error("the gRPC server has failed")]
    Grpc(#[from] tonic::transport::Error),
    /// The admin server failed.
    #[error("the admin server has failed")]
    Admin(#[from] io::Error),
    /// A server's task panicked.
    #[error("a server has failed")]
    Task(#[from] JoinError),
}

/// Waits for SIGTERM or SIGINT and returns the name of the one received.
pub async fn signal() -> io::Result<&'static str> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

impl Lifecycle {
    /// A life that ends within `grace` after the signal to stop, plus two seconds.
    pub fn new(grace: Duration) -> Self {
        Self {
            stopping: CancellationToken::new(),
            cut_off: CancellationToken::new(),
            tasks: TaskTracker::new(),
            grace,
        }
    }

    /// Tracker of tasks that the end must wait for: one for each session.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Sets health to broken if `fault` completes before the process stops; `what` names the faulty part in the log.
    pub fn broken_by(
        &self,
        fault: impl Future<Output = ()> + Send + 'static,
        what: &'static str,
        health: &Health,
    ) {
        let (stopping, health) = (self.stopping.clone(), health.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = fault => {
                    tracing::error!(what, "cannot serve any more");
                    health.set(State::Broken).await;
                }
                () = stopping.cancelled() => {}
            }
        });
    }

    /// Token that is cancelled when no new work may begin. Work in progress goes on.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Token that is cancelled when the grace period is over: work in progress must report this to its client and end.
    pub fn cut_off(&self) -> &CancellationToken {
        &self.cut_off
    }

    /// Serves until `shutdown`, then drains: health turns `NOT_SERVING`, the listeners close, tasks and open calls finish within
    /// the grace period or are cut off. The admin port stays up until the end. Returns early only if a server fails.
    pub async fn serve(
        &self,
        servers: Servers,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Drained, ServeError> {
        let Servers {
            router,
            listener,
            http,
            admin,
            health,
        } = servers;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let stopping = self.stopping.clone().cancelled_owned();
        let grpc = router.serve_with_incoming_shutdown(incoming, stopping);
        let mut public = JoinSet::new();
        public.spawn(async { grpc.await.map_err(ServeError::Grpc) });
        if let Some(http) = http {
            let serving = http.serve(self.stopping.clone());
            public.spawn(async {
                serving.await;
                Ok(())
            });
        }
        let admin_end = CancellationToken::new();
        let mut admins = JoinSet::new();
        if let Some(admin) = admin {
            admins.spawn(admin.serve(health.clone(), admin_end.clone()));
        }
        health.set(State::Serving).await;
        tokio::select! {
            () = shutdown => {}
            Some(ended) = public.join_next() => ended??,
            Some(ended) = admins.join_next() => ended??,
        }
        let drained = self.drain(&health, &mut public).await;
        admin_end.cancel();
        // An admin client that keeps its connection is dropped with the set.
        drop(timeout(LINGER, admins.join_next()).await);
        Ok(drained)
    }

    async fn drain<T: 'static>(&self, health: &Health, public: &mut JoinSet<T>) -> Drained {
        health.set(State::Stopping).await;
        health.dismiss_watchers().await;
        self.stopping.cancel();
        self.tasks.close();
        if timeout(self.grace, self.finish(public)).await.is_ok() {
            return Drained::Finished;
        }
        let tasks = self.tasks.len();
        self.cut_off.cancel();
        if timeout(LINGER, self.finish(public)).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "connections are dropped");
        }
        Drained::CutOff { tasks }
    }

    /// Waits for unfinished tasks, then for open calls.
    async fn finish<T: 'static>(&self, public: &mut JoinSet<T>) {
        self.tasks.wait().await;
        while public.join_next().await.is_some() {}
    }
}
