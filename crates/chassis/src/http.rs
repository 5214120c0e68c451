//! HTTP/1.1 for clients, with a limit on everything that a client can make the process hold or wait for.
//!
//! Ours rather than `axum::serve`, which has no way to limit headers, connections, or how long either side may stall.

mod stall;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::stall::Stalling;

/// Pause after the system could not give a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one HTTP port serves.
#[derive(Debug)]
pub struct Http {
    /// Where.
    pub listener: TcpListener,
    /// What. A handler is dropped when its client goes away.
    pub router: Router,
    /// What clients may take up.
    pub limits: HttpLimits,
}

/// What clients may take up.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Connections at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Header lines of a request.
    pub max_headers: usize,
    /// Bytes of a request's line and headers together.
    pub max_header_bytes: usize,
    /// Bytes of either direction that a connection may buffer.
    pub max_buffer_bytes: usize,
    /// How long a request's headers may take to arrive, and how long a connection may stay idle.
    pub header_patience: Duration,
    /// How long a client may leave a full connection unread.
    pub write_patience: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_headers: 100,
            max_header_bytes: 32 << 10,
            max_buffer_bytes: 64 << 10,
            header_patience: Duration::from_secs(30),
            write_patience: Duration::from_mins(1),
        }
    }
}

impl Http {
    /// Serves until `stopping`, then lets requests in progress finish and closes their connections. Dropping the future drops
    /// every connection.
    pub async fn serve(self, stopping: CancellationToken) {
        let Self {
            listener,
            router,
            limits,
        } = self;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving HTTP");
        }
        let room = Arc::new(Semaphore::new(limits.max_connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                accepted = accept(&listener, &room) => accepted,
                Some(_) = connections.join_next() => continue,
            };
            // Those that have ended while there was always another to accept.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, permit)) => {
                    let (router, stopping) = (router.clone(), stopping.clone());
                    connections.spawn(async move {
                        connection(stream, router, limits, stopping).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // A client that is gone already is no reason to pause.
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: HttpLimits,
    stopping: CancellationToken,
) {
    let io = TokioIo::new(Stalling::new(stream, limits.write_patience));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_patience)
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(limits.max_buffer_bytes)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // Clients leave in the middle all the time.
        tracing::debug!(%error, "a connection has ended early");
    }
}
