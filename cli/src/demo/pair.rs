//! A drafter and a verifier in this process.

use std::path::Path;

use anyhow::Context as _;
use inference::engine::{Engine, EngineOptions};
use inference::store::{ModelReference, Store};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Args;
use crate::progress::Stderr;

/// Both services on free ports of the loopback interface.
pub(super) struct Pair {
    address: String,
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Pair {
    /// Fetches and loads the models and starts the services.
    pub(super) async fn start(args: &Args) -> anyhow::Result<Self> {
        let args = args.clone();
        let engines = tokio::task::spawn_blocking(move || {
            let store = Store::open(args.cache.clone())?;
            let load = |model: &str| load(&store, model, args.threads());
            anyhow::Ok((
                (load(&args.target)?, args.target.clone()),
                (load(&args.drafter)?, args.drafter),
            ))
        });
        let ((target, target_name), (draft, draft_name)) = engines.await??;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();

        let serving = drafter_service::config::Serving::new(draft_name);
        let drafter = drafter_service::app::App::with_engine(draft, serving).await;
        let (listener, drafter_address) = listen().await?;
        let stopping = stop.clone().cancelled_owned();
        tasks.spawn(async move { drafter.serve(listener, stopping).await.map(|_| ()) });

        let mut serving = verifier_service::config::Serving::new(target_name);
        serving.drafters = vec![drafter_address];
        let verifier = verifier_service::app::App::with_engine(target, serving).await?;
        let (listener, address) = listen().await?;
        let stopping = stop.clone().cancelled_owned();
        tasks.spawn(async move { verifier.serve(listener, stopping).await.map(|_| ()) });
        Ok(Self {
            address,
            tasks,
            stop,
        })
    }

    /// The verifier's address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Stops both and waits for them.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

fn load(store: &Store, model: &str, threads: usize) -> anyhow::Result<Engine> {
    let reference: ModelReference = model.parse()?;
    let path = store.resolve(&reference, &mut Stderr::new("fetching"))?;
    let options = EngineOptions {
        threads,
        ..EngineOptions::default()
    };
    Engine::load(Path::new(&path), options).with_context(|| format!("cannot load {model}"))
}

async fn listen() -> anyhow::Result<(TcpListener, String)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("no port is free")?;
    let address = format!("http://{}", listener.local_addr()?);
    Ok((listener, address))
}
