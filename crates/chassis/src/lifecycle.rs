//! The life of a server: serve, be told to stop, finish what was accepted, leave.

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

/// How long work may take to say that it was cut off, and a scrape of the admin port to finish.
const LINGER: Duration = Duration::from_secs(2);

/// What connects a process's work to its end. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    stopping: CancellationToken,
    cut_off: CancellationToken,
    tasks: TaskTracker,
    grace: Duration,
}

/// What a process serves.
#[derive(Debug)]
pub struct Servers {
    /// The gRPC services, on top of [`crate::server::builder`].
    pub router: Router,
    /// Where they are served.
    pub listener: TcpListener,
    /// The port for HTTP clients, if there is one.
    pub http: Option<Http>,
    /// The admin port, if there is one.
    pub admin: Option<Admin>,
    /// Health of all of it.
    pub health: Health,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drained {
    /// Everything that was accepted has finished.
    Finished,
    /// The grace period was over before that.
    CutOff {
        /// Tasks that had not finished.
        tasks: usize,
    },
}

/// Why serving ended unasked.
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

/// Waits for SIGTERM or SIGINT and gives the name of the one that came.
pub async fn signal() -> io::Result<&'static str> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

impl Lifecycle {
    /// A life that ends within `grace` of being told to stop, and two seconds behind it.
    pub fn new(grace: Duration) -> Self {
        Self {
            stopping: CancellationToken::new(),
            cut_off: CancellationToken::new(),
            tasks: TaskTracker::new(),
            grace,
        }
    }

    /// Where work is spawned that the end has to wait for: one task a session.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Says that the process is broken, to be restarted, when `fault` comes before it is told to stop; `what` is for the log.
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

    /// Cancelled when no new work may begin. Work in progress goes on.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Cancelled when the grace period is over: work in progress must say so to its client and end.
    pub fn cut_off(&self) -> &CancellationToken {
        &self.cut_off
    }

    /// Serves until `shutdown`, then drains: health says `NOT_SERVING`, the listeners close, tasks and open calls finish within
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
        if timeout(self.grace, self.rest(public)).await.is_ok() {
            return Drained::Finished;
        }
        let tasks = self.tasks.len();
        self.cut_off.cancel();
        if timeout(LINGER, self.rest(public)).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "connections are dropped");
        }
        Drained::CutOff { tasks }
    }

    /// Waits for what is still going on: tasks, then calls that are still open.
    async fn rest<T: 'static>(&self, public: &mut JoinSet<T>) {
        self.tasks.wait().await;
        while public.join_next().await.is_some() {}
    }
}
