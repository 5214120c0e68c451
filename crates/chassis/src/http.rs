//! HTTP/1.1 and, for clients that know it beforehand, HTTP/2 in clear text, with a limit on everything that a client can make
//! the process hold or wait for.
//!
//! Written here because `axum::serve` cannot limit headers, connections, or the time that either side may stall.

mod connection;
mod limits;
mod traffic;
mod version;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use self::limits::HttpLimits;

/// Pause after the system failed to accept a connection, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An HTTP port: its listener, routes and limits.
#[derive(Debug)]
pub struct Http {
    /// Listener of the port.
    pub listener: TcpListener,
    /// Routes. A handler is dropped when its client disconnects.
    pub router: Router,
    /// Limits on clients.
    pub limits: HttpLimits,
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
            // Reaps connections that ended while others kept arriving.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, permit)) => {
                    let (router, stopping) = (router.clone(), stopping.clone());
                    connections.spawn(async move {
                        connection::serve(stream, router, limits, stopping).await;
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
    // An error means that the client has left already; that is no reason to pause.
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}
