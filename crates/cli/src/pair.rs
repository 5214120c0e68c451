//! A drafter and a verifier in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use drafter_service::source::Source;
use inference::engine::{Engine, EngineOptions};
use store::{ModelReference, Store};
use tokenizer::Tokenizer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::progress::Stderr;

/// Longest wait of a round for its block in patient runs: there no result may depend on the machine's load.
const PATIENCE: Duration = Duration::from_secs(20);

/// Flags of a pair that starts in this process.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PairArgs {
    /// Target model: a known name, a path, or hf:owner/repository/file.gguf
    #[arg(
        long,
        env = "DUET_TARGET",
        value_name = "MODEL",
        default_value = "qwen2.5-coder-1.5b"
    )]
    pub(crate) target: String,

    /// Drafter: a model; ngram, which looks text up in the prompt and reply; or ngram+MODEL
    #[arg(
        long,
        env = "DUET_DRAFT_MODEL",
        value_name = "MODEL",
        default_value = "smollm2-135m"
    )]
    pub(crate) drafter: String,

    /// Compute threads of each model [default: half of the processors]
    #[arg(long, env = "DUET_THREADS", value_name = "COUNT")]
    threads: Option<usize>,

    /// Folder that caches models [default: duet in the user's cache folder]
    #[arg(long, env = "DUET_CACHE", value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

impl PairArgs {
    /// Options of a pair for interactive use.
    pub(crate) fn options(&self) -> PairOptions {
        PairOptions {
            target: self.target.clone(),
            drafter: self.drafter.clone(),
            threads: self.threads,
            cache: self.cache.clone(),
            is_patient: false,
        }
    }
}

/// Models of a pair, and the way they run.
#[derive(Clone, Debug)]
pub(crate) struct PairOptions {
    /// Reference of the target model.
    pub(crate) target: String,
    /// Draft model or look-up, in the syntax of drafter-service.
    pub(crate) drafter: String,
    /// Compute threads of each model; `None`: half of the processors, since both models compute at once.
    pub(crate) threads: Option<usize>,
    /// Folder of the model cache; `None`: the user's default.
    pub(crate) cache: Option<PathBuf>,
    /// True if rounds wait for every block, however late.
    pub(crate) is_patient: bool,
}

/// Both services on free ports of the loopback interface.
pub(crate) struct LocalPair {
    address: String,
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    tokenizer: Arc<Tokenizer>,
}

impl LocalPair {
    /// Fetches and loads the models and starts the services.
    pub(crate) async fn start(options: &PairOptions) -> anyhow::Result<Self> {
        let wanted = options.clone();
        let engines = tokio::task::spawn_blocking(move || {
            let store = Store::open(wanted.cache.clone())?;
            let load = |model: ModelReference| load(&store, &model, wanted.threads());
            let drafter: Source<ModelReference> = wanted.drafter.parse()?;
            anyhow::Ok((load(wanted.target.parse()?)?, drafter.try_map(load)?))
        });
        let (target, draft) = engines.await??;
        let tokenizer = Arc::clone(target.tokenizer());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();

        let serving = drafter_service::config::Serving::new(&options.drafter);
        let drafter = drafter_service::app::App::with_source(draft, serving).await;
        let (listener, drafter_address) = listen().await?;
        let stopping = stop.clone().cancelled_owned();
        tasks.spawn(async move { drafter.serve(listener, stopping).await.map(|_| ()) });

        let mut serving = verifier_service::config::Serving::new(&options.target);
        serving.drafters = vec![drafter_address];
        if options.is_patient {
            wait_for_blocks(&mut serving);
        }
        let verifier = verifier_service::app::App::with_engine(target, serving).await?;
        let (listener, address) = listen().await?;
        let stopping = stop.clone().cancelled_owned();
        tasks.spawn(async move { verifier.serve(listener, stopping).await.map(|_| ()) });
        Ok(Self {
            address,
            tasks,
            stop,
            tokenizer,
        })
    }

    /// Address of the verifier.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Tokenizer of the target.
    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Stops both services and waits for their end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

impl PairOptions {
    fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or((processors / 2).max(1))
    }
}

/// Makes every round wait for its block, however late.
pub(crate) fn wait_for_blocks(serving: &mut verifier_service::config::Serving) {
    serving.deadline.floor = PATIENCE;
    serving.deadline.initial = PATIENCE;
    serving.deadline.cap = PATIENCE;
}

fn load(store: &Store, model: &ModelReference, threads: usize) -> anyhow::Result<Engine> {
    let path = store.resolve(model, &mut Stderr::new("fetching"))?;
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
