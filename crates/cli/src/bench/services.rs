//! The services under test, in this process: each has its own model, runtime and processors.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use drafter_service::source::Source;
use inference::engine::{Engine, EngineOptions};
use proto::limits::MAX_BLOCK_TOKENS;
use proto::verifier::{Client, DrafterState, DrafterStatus};
use store::{ModelReference, Store};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::experiment::Experiment;
use super::processors::{self, Assignment};
use super::relay::Relay;
use crate::pair;
use crate::progress::Stderr;
use crate::request;

/// Size of the prefix cache in bytes, the default of a verifier.
const PREFIX_CACHE: u64 = 256 << 20;
/// Fewest sessions that a service must take.
const SESSIONS: usize = 16;
/// Longest time for a verifier to find its drafter, and the interval of asking for it.
const FINDING_TIMEOUT: Duration = Duration::from_secs(30);
const FINDING_INTERVAL: Duration = Duration::from_millis(50);

/// A loaded target model.
pub(super) struct LoadedTarget {
    name: String,
    engine: Engine,
    processors: Option<Assignment>,
}

/// A service on its own thread and runtime.
pub(super) struct Service {
    name: String,
    address: SocketAddr,
    stop: CancellationToken,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// A verifier under test with one drafter.
pub(super) struct Tested {
    pub(super) address: String,
    pub(super) target: String,
    pub(super) drafter: String,
    /// Emulated round trip between them; zero: none.
    pub(super) round_trip: Duration,
    /// Round trip that the verifier measured when it first asked its drafter; none if it has not measured yet.
    pub(super) round_trip_seen: Option<Duration>,
    /// Target tokens that end a reply; empty if unknown.
    pub(super) end_tokens: Vec<u32>,
    service: Option<Service>,
    relay: Option<Relay>,
}

impl LoadedTarget {
    /// Fetches and loads a target.
    pub(super) async fn load(name: &str, experiment: &Experiment) -> anyhow::Result<Self> {
        let processors = experiment
            .is_pinned
            .then(|| processors::assign(experiment.threads))
            .flatten();
        let pinned = processors
            .as_ref()
            .map(|assigned| assigned.verifier.clone());
        let path = fetch(name.parse()?, experiment.cache.clone()).await?;
        let options = EngineOptions {
            threads: experiment.threads,
            max_sessions: experiment.sessions().max(SESSIONS),
            queue: queue(experiment),
            max_batch_rows: EngineOptions::default()
                .max_batch_rows
                .max(experiment.longest_block() as usize + 1),
            prefix_cache: PREFIX_CACHE,
            ..EngineOptions::default()
        };
        let loading = on_thread("load-target", pinned, move || {
            Ok(Engine::load(&path, options)?)
        })?;
        let loaded = tokio::task::spawn_blocking(|| join(loading)).await?;
        Ok(Self {
            name: name.to_owned(),
            engine: loaded.with_context(|| format!("cannot load {name}"))?,
            processors,
        })
    }

    /// Name of the kernels that compute the target's matrix products.
    pub(super) fn kernels(&self) -> &str {
        &self.engine.info().kernels
    }

    /// Processors of the services, if they are pinned.
    pub(super) fn processors(&self) -> Option<&Assignment> {
        self.processors.as_ref()
    }

    /// A new verifier of this model, with no data on its drafter yet.
    pub(super) async fn verify(
        &self,
        drafter: &Service,
        round_trip: Duration,
        experiment: &Experiment,
    ) -> anyhow::Result<Tested> {
        let relay = (!round_trip.is_zero())
            .then(|| Relay::start(drafter.address, round_trip / 2))
            .transpose()
            .context("cannot start the relay that delays bytes")?;
        let drafter_address = relay.as_ref().map_or(drafter.address, Relay::address);
        let mut serving = verifier_service::config::Serving::new(&self.name);
        serving.drafters = vec![format!("http://{drafter_address}")];
        serving.admission.in_progress = experiment.sessions().max(SESSIONS);
        serving.block_length = serving.block_length.max(experiment.longest_block());
        if experiment.is_patient {
            pair::wait_for_blocks(&mut serving);
        }
        let engine = self.engine.clone();
        let pinned = self.processors.as_ref();
        let pinned = pinned.map(|assigned| assigned.verifier.clone());
        let service = Service::start("verifier", pinned, async |stop, listening| {
            let app = verifier_service::app::App::with_engine(engine, serving).await?;
            app.serve(listen(listening).await?, stop).await.map(|_| ())
        });
        let service = service.await?;
        let address = format!("http://{}", service.address);
        let found = find_drafter(&address).await?;
        Ok(Tested {
            address,
            target: self.name.clone(),
            drafter: drafter.name.clone(),
            round_trip,
            round_trip_seen: found.round_trip,
            end_tokens: self.engine.tokenizer().specials().end_tokens.clone(),
            service: Some(service),
            relay,
        })
    }
}

/// Starts a drafter. A draft model is fetched before, so that the download's progress is shown.
pub(super) async fn drafter(name: &str, experiment: &Experiment) -> anyhow::Result<Service> {
    let source: Source<ModelReference> = name.parse()?;
    if let Some(model) = source.model() {
        fetch(model.clone(), experiment.cache.clone()).await?;
    }
    let mut flags = vec![
        "drafter-service".to_owned(),
        format!("--model={name}"),
        format!("--threads={}", experiment.threads),
        format!("--max-sessions={}", experiment.sessions().max(SESSIONS)),
        format!("--queue={}", queue(experiment)),
        format!("--max-block-tokens={MAX_BLOCK_TOKENS}"),
    ];
    if let Some(cache) = &experiment.cache {
        flags.push(format!("--cache={}", cache.display()));
    }
    let args = drafter_service::args::Args::try_parse_from(flags)?;
    let config = drafter_service::config::Config::try_from(args)?;
    let assigned = experiment
        .is_pinned
        .then(|| processors::assign(experiment.threads))
        .flatten();
    let pinned = assigned.map(|assigned| assigned.drafter);
    let service = Service::start(name, pinned, async |stop, listening| {
        let app = drafter_service::app::App::start(config).await?;
        app.serve(listen(listening).await?, stop).await.map(|_| ())
    });
    service
        .await
        .with_context(|| format!("the drafter {name} does not start"))
}

impl Service {
    /// Starts `serve` on its own thread and runtime, pinned to `processors` if given, and waits until it reports its address.
    async fn start<F>(
        name: &str,
        processors: Option<Vec<usize>>,
        serve: impl FnOnce(
            tokio_util::sync::WaitForCancellationFutureOwned,
            oneshot::Sender<SocketAddr>,
        ) -> F
        + Send
        + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let stop = CancellationToken::new();
        let (listening, address) = oneshot::channel();
        let stopping = stop.clone().cancelled_owned();
        let thread = on_thread(name, processors, move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            runtime.block_on(serve(stopping, listening))
        })?;
        let Ok(address) = address.await else {
            tokio::task::spawn_blocking(|| join(thread)).await??;
            bail!("the service ended before it served");
        };
        Ok(Self {
            name: name.to_owned(),
            address,
            stop,
            thread,
        })
    }

    /// Stops the service and waits for its end.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        tokio::task::spawn_blocking(|| join(self.thread)).await?
    }
}

impl Tested {
    /// A running verifier, with the first drafter that it has in use.
    pub(super) async fn running(address: &str) -> anyhow::Result<Self> {
        let mut client = request::connect(address)?;
        let asked = client.describe(chassis::trace::request(())).await;
        let asked = asked.map_err(request::explain);
        let description = asked.with_context(|| format!("the verifier at {address}"))?;
        let drafter = find_drafter(address).await?;
        Ok(Self {
            address: address.to_owned(),
            target: description.model.name,
            round_trip: Duration::ZERO,
            round_trip_seen: drafter.round_trip,
            drafter: drafter.model.unwrap_or(drafter.address),
            end_tokens: Vec::new(),
            service: None,
            relay: None,
        })
    }

    /// Stops the services that were started for the test.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        if let Some(service) = self.service {
            service.stop().await?;
        }
        tokio::task::spawn_blocking(move || drop(self.relay)).await?;
        Ok(())
    }
}

/// Waits until the verifier has a drafter in use.
async fn find_drafter(address: &str) -> anyhow::Result<DrafterStatus> {
    let mut client = request::connect(address)?;
    let found = tokio::time::timeout(FINDING_TIMEOUT, async {
        loop {
            if let Some(drafter) = ready(&mut client).await? {
                return anyhow::Ok(drafter);
            }
            tokio::time::sleep(FINDING_INTERVAL).await;
        }
    });
    match found.await {
        Ok(found) => found.with_context(|| format!("the verifier at {address}")),
        Err(_) => {
            bail!("the verifier at {address} has no drafter in use after {FINDING_TIMEOUT:?}")
        }
    }
}

async fn ready(client: &mut Client) -> anyhow::Result<Option<DrafterStatus>> {
    let described = client.describe(chassis::trace::request(())).await;
    let description = described.map_err(request::explain)?;
    let mut drafters = description.drafters.into_iter();
    Ok(drafters.find(|drafter| drafter.state == DrafterState::Ready))
}

async fn listen(listening: oneshot::Sender<SocketAddr>) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.context("no port is free")?;
    // The receiver may be gone; then the service is being stopped.
    let _ = listening.send(listener.local_addr()?);
    Ok(listener)
}

fn queue(experiment: &Experiment) -> usize {
    EngineOptions::default()
        .queue
        .max(2 * experiment.sessions().max(SESSIONS))
}

async fn fetch(model: ModelReference, cache: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let fetching = move || Store::open(cache)?.resolve(&model, &mut Stderr::new("fetching"));
    Ok(tokio::task::spawn_blocking(fetching).await??)
}

fn on_thread<T: Send + 'static>(
    name: &str,
    processors: Option<Vec<usize>>,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<T>>> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(processors) = processors {
            let pinned = processors::pin(&processors);
            pinned.with_context(|| format!("cannot keep to processors {processors:?}"))?;
        }
        work()
    });
    started.context("cannot start a thread")
}

fn join<T>(thread: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    match thread.join() {
        Ok(ended) => ended,
        Err(_) => bail!("a thread panicked"),
    }
}

#[cfg(test)]
impl Tested {
    /// A description without a verifier.
    pub(super) fn described(target: &str, drafter: &str, round_trip: Duration) -> Self {
        Self {
            address: String::new(),
            target: target.to_owned(),
            drafter: drafter.to_owned(),
            round_trip,
            round_trip_seen: None,
            end_tokens: Vec::new(),
            service: None,
            relay: None,
        }
    }
}
