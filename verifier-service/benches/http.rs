//! Latency of text from its commitment to a client, over HTTP and over gRPC.
//!
//! `cargo bench -p verifier-service --bench http` prints one JSON object in microseconds: for each protocol the median, the 99th
//! percentile and the maximum of all chunks, and the same of first chunks alone. A chunk is committed when its round's span
//! closes; client and server share this process and its clock.

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use inference::engine::{Engine, EngineOptions};
use proto::{
    model::Prompt,
    verifier::{Client, Generate, Part, Speculation},
};
use serde_json::{Value, json};
use tests::tiny::Tiny;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::Request;
use tracing::{Subscriber, span};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};
use verifier_service::{app::App, config::Serving};

const REPLIES: usize = 100;
const TOKENS: u32 = 60;

type Failure = Box<dyn std::error::Error>;

/// Ends of rounds.
#[derive(Clone, Default)]
struct Commitments(Arc<Mutex<Vec<Instant>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Commitments {
    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        if context.span(&id).is_some_and(|span| span.name() == "round") {
            self.lock().push(Instant::now());
        }
    }
}

impl Commitments {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Latency of each chunk, for chunks that arrived at these moments.
    fn delays(&self, arrived: &[Instant]) -> Result<Vec<Duration>, Failure> {
        let committed = std::mem::take(&mut *self.lock());
        if committed.len() != arrived.len() {
            let (rounds, chunks) = (committed.len(), arrived.len());
            return Err(format!("{rounds} rounds, but {chunks} chunks").into());
        }
        let pairs = arrived.iter().zip(committed);
        Ok(pairs
            .map(|(at, since)| at.saturating_duration_since(since))
            .collect())
    }
}

/// Latencies of all chunks, and of first chunks.
#[derive(Default)]
struct Delays {
    all: Vec<Duration>,
    first: Vec<Duration>,
}

impl Delays {
    fn extend(&mut self, delays: &[Duration]) {
        self.first.extend(delays.first());
        self.all.extend(delays);
    }

    fn report(self) -> Value {
        json!({"all": percentiles(self.all), "first": percentiles(self.first)})
    }
}

fn percentiles(mut delays: Vec<Duration>) -> Value {
    delays.sort_unstable();
    let last = delays.len().saturating_sub(1);
    let at = |share: f64| {
        delays
            .get((last as f64 * share) as usize)
            .map(Duration::as_micros)
    };
    json!({"median": at(0.5), "p99": at(0.99), "most": at(1.0)})
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let commitments = Commitments::default();
    tracing_subscriber::registry()
        .with(commitments.clone())
        .init();
    let folder = tempfile::tempdir()?;
    let path = Tiny::default().write_into(folder.path())?;
    let engine = Engine::load(&path, EngineOptions::default())?;
    let (grpc, http) = (listen().await?, listen().await?);
    let (grpc_address, http_address) = (grpc.local_addr()?, http.local_addr()?);
    let app = App::with_engine(engine, Serving::new("tiny"))
        .await?
        .with_http(http);
    let mut serving = JoinSet::new();
    serving.spawn(async { app.serve(grpc, std::future::pending()).await });

    let channel = chassis::channel::lazy(&format!("http://{grpc_address}"))?;
    let mut client = Client::new(channel);
    let (mut over_http, mut over_grpc) = (Delays::default(), Delays::default());
    // Interleaved, so that a noisy neighbour hits both alike.
    for _ in 0..REPLIES {
        over_http.extend(&commitments.delays(&ask_http(http_address).await?)?);
        over_grpc.extend(&commitments.delays(&ask_grpc(&mut client).await?)?);
    }
    let report = json!({
        "replies": REPLIES,
        "unit": "microseconds",
        "http": over_http.report(),
        "grpc": over_grpc.report(),
    });
    writeln!(std::io::stdout(), "{report:#}")?;
    Ok(())
}

async fn listen() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}

/// Arrival of each chunk with text.
async fn ask_http(address: SocketAddr) -> Result<Vec<Instant>, Failure> {
    let body = json!({
        "model": "tiny", "prompt": "let the fn = ", "max_tokens": TOKENS, "temperature": 0, "stream": true,
        "speculation": {"mode": "off"},
    });
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    let (mut text, mut arrived) = (Vec::new(), Vec::new());
    while stream.read_buf(&mut text).await? > 0 {
        let now = Instant::now();
        let seen = String::from_utf8_lossy(&text);
        // The event with the reason of the end has no text.
        let chunks = seen.matches("\"finish_reason\":null").count();
        arrived.resize(chunks.max(arrived.len()), now);
    }
    Ok(arrived)
}

/// Arrival of each chunk.
async fn ask_grpc(client: &mut Client) -> Result<Vec<Instant>, Failure> {
    let mut request = Generate::new(Prompt::Text("let the fn = ".to_owned()));
    request.max_tokens = Some(TOKENS);
    request.sampling.temperature = 0.0;
    request.speculation = Speculation::Off;
    let mut reply = client.generate(Request::new(request)).await?;
    let mut arrived = Vec::new();
    while let Some(part) = reply.next().await? {
        if matches!(part, Part::Chunk(_)) {
            arrived.push(Instant::now());
        }
    }
    Ok(arrived)
}
