//! HTTP/1.1 for clients, with a limit on everything that a client can make the process hold or wait for.
//!
//! Written here because `axum::serve` cannot limit headers, connections, or the time that either side may stall.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

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

/// Limits on clients.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Most connections at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Most header lines of a request.
    pub max_headers: usize,
    /// Most bytes of a request's line and headers together.
    pub max_header_bytes: usize,
    /// Most bytes that a connection buffers in each direction.
    pub max_buffer_bytes: usize,
    /// Longest time for the headers of a request to arrive, and for a connection to be idle.
    pub header_patience: Duration,
    /// Longest time that a client may leave a full connection unread.
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
            // Reaps connections that ended while others kept arriving.
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
    // An error means that the client has left already; that is no reason to pause.
    let _ = stream.set_nodelay(true);
    Ok((stream, permit))
}

/// A stream whose writes fail once its peer has not read for `timeout`. Otherwise a client that asks for a long answer and never
/// reads it would keep its connection for ever.
fn with_write_timeout<S: AsyncRead + AsyncWrite>(
    stream: S,
    timeout: Duration,
) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(timeout));
    Box::pin(stream)
}

async fn connection(
    stream: TcpStream,
    router: Router,
    limits: HttpLimits,
    stopping: CancellationToken,
) {
    let io = TokioIo::new(with_write_timeout(stream, limits.write_patience));
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
        // Clients often disconnect in the middle, so this is no warning.
        tracing::debug!(%error, "a connection has ended early");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn peer_that_stops_reading_is_given_up_and_one_that_reads_is_not() {
        let (near, mut far) = duplex(8);
        let mut stream = with_write_timeout(near, Duration::from_millis(20));
        let mut read = [0; 72];
        let (written, _) = tokio::join!(stream.write_all(&[0; 72]), far.read_exact(&mut read));
        written.unwrap();
        let error = stream.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
