//! One connection, from its first bytes to its end.

use std::{
    convert::Infallible,
    error::Error,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
    response::IntoResponse as _,
};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::{
    limits::HttpLimits,
    traffic::{Answer, Traffic},
    version::{self, Version},
};

/// Interval of pings on a silent connection of HTTP/2, so that a peer that vanished is noticed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Longest time that a ping may stay unanswered.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// Serves a connection until its client leaves, or `stopping` and the end of its requests.
pub(super) async fn serve(
    stream: TcpStream,
    router: Router,
    limits: HttpLimits,
    stopping: CancellationToken,
) {
    let opening = version::read(stream, limits.header_patience);
    let opened = tokio::select! {
        opened = opening => opened,
        () = stopping.cancelled() => return,
    };
    let ended = match opened {
        Ok((Version::One, stream)) => one(stream, router, limits, stopping).await,
        Ok((Version::Two, stream)) => two(stream, router, limits, stopping).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = ended {
        // Clients often disconnect in the middle, so this is no warning.
        tracing::debug!(error, "a connection has ended early");
    }
}

async fn one(
    stream: impl AsyncRead + AsyncWrite + Send,
    router: Router,
    limits: HttpLimits,
    stopping: CancellationToken,
) -> Ended {
    let io = TokioIo::new(with_write_timeout(stream, limits.write_patience));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_patience)
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(limits.max_buffer_bytes)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return Ok(ended?),
        () = stopping.cancelled() => {}
    }
    serving.as_mut().graceful_shutdown();
    Ok(serving.await?)
}

async fn two(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    router: Router,
    limits: HttpLimits,
    stopping: CancellationToken,
) -> Ended {
    let io = TokioIo::new(with_write_timeout(stream, limits.write_patience));
    let traffic = Arc::new(Traffic::default());
    let streams = Streams::default();
    let serving = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(limits.max_buffer_bytes)
        .serve_connection(io, counted(router, Arc::clone(&traffic), limits));
    let _end = EndOfStreams(streams);
    let mut serving = pin!(serving);
    let stops = tokio::select! {
        ended = serving.as_mut() => return Ok(ended?),
        () = stopping.cancelled() => true,
        () = traffic.ceases(limits.header_patience, limits.write_patience) => false,
    };
    serving.as_mut().graceful_shutdown();
    if stops {
        return Ok(serving.await?);
    }
    Ok(timeout(limits.write_patience, serving).await??)
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

/// The routes, with their requests counted and their headers limited in number.
fn counted(
    router: Router,
    traffic: Arc<Traffic>,
    limits: HttpLimits,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Answer>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Answer>, Infallible>> + Send + 'static,
> {
    let router = TowerToHyperService::new(router);
    service_fn(move |request: Request<Incoming>| {
        let in_progress = traffic.begin();
        let is_too_long = request.headers().len() > limits.max_headers;
        let answering = (!is_too_long).then(|| router.call(request));
        async move {
            let answer: Response<Body> = match answering {
                Some(answering) => answering.await?,
                None => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response(),
            };
            Ok(answer.map(|body| in_progress.answered(body)))
        }
    })
}

/// Tasks of a connection of HTTP/2, one for each of its requests.
#[derive(Clone, Debug, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Reaps those that have ended.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(stream);
    }
}

/// End of the tasks together with their connection, at the latest.
struct EndOfStreams(Streams);

impl Drop for EndOfStreams {
    fn drop(&mut self) {
        let mut tasks = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

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
