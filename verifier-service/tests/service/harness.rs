//! A verifier on a port of the system's choice, over a tiny model, and a client of it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use chassis::lifecycle::Drained;
use inference::engine::{Engine, EngineOptions};
use pacing::DeadlineOptions;
use proto::{
    ClientError,
    model::{Prompt, Sampling},
    verifier::{Chunk, Client, Finish, Generate, Origin, Part, Reply, Speculation},
};
use tests::tiny::Tiny;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tonic::{Request, Status};
use verifier_service::{
    app::App,
    config::{AdmissionLimits, Serving},
};

/// Positions of the tiny model.
pub(crate) const CONTEXT: usize = 512;

/// A verifier that serves until it is dropped or stopped.
pub(crate) struct Process {
    pub(crate) client: Client,
    /// Address of its HTTP port.
    pub(crate) http: String,
    admin: String,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    ended: JoinSet<Drained>,
}

/// A reply that has been read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) finish: Finish,
}

/// The engine that most tests share. Its model never ends a reply.
pub(crate) fn endless() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| load(&Tiny::default())).clone()
}

/// An engine of a test's own.
pub(crate) fn load(tiny: &Tiny) -> Engine {
    let folder = tempfile::tempdir().expect("a folder");
    let path = tiny.write_into(folder.path()).expect("a file");
    let options = EngineOptions {
        context: Some(tiny.context as usize),
        prefix_cache: 1 << 24,
        ..EngineOptions::default()
    };
    Engine::load(&path, options).expect("a model")
}

/// Serving with these drafters and short waits.
pub(crate) fn serving(drafters: &[&str]) -> Serving {
    Serving {
        drafters: drafters.iter().map(ToString::to_string).collect(),
        max_tokens: 1000,
        deadline: DeadlineOptions {
            // A busy machine must not make a drafter late.
            floor: Duration::from_millis(100),
            initial: Duration::from_millis(200),
            cap: Duration::from_millis(200),
        },
        ..Serving::new("tiny")
    }
}

/// Serving with long waits: with a drafter that never answers, requests stay in progress.
pub(crate) fn patient(drafter: &str) -> Serving {
    let mut serving = serving(&[drafter]);
    serving.deadline.floor = Duration::from_mins(1);
    serving.deadline.initial = Duration::from_mins(1);
    serving.deadline.cap = Duration::from_mins(1);
    serving
}

/// So many requests at once, and none that waits.
pub(crate) fn places(in_progress: usize) -> AdmissionLimits {
    AdmissionLimits {
        in_progress,
        waiting: 0,
        patience: Duration::ZERO,
    }
}

impl Process {
    pub(crate) async fn start(engine: Engine, serving: Serving) -> Self {
        let (listener, address) = listen().await;
        let (http_listener, http) = listen().await;
        let (admin_listener, admin) = listen().await;
        let app = App::with_engine(engine, serving).await.expect("an app");
        let app = app.with_http(http_listener).with_admin(admin_listener);
        let (stop, stopped) = oneshot::channel();
        let mut ended = JoinSet::new();
        ended.spawn(async move {
            let stopped = async { drop(stopped.await) };
            app.serve(listener, stopped).await.expect("a server")
        });
        let channel = chassis::channel::lazy(&format!("http://{address}")).expect("an address");
        Self {
            client: Client::new(channel),
            http,
            admin,
            stop: Some(stop),
            ended,
        }
    }

    /// Process with the engine that most tests share.
    pub(crate) async fn endless(drafters: &[&str]) -> Self {
        Self::start(endless(), serving(drafters)).await
    }

    pub(crate) async fn open(&self, request: &Generate) -> Result<Reply, Status> {
        let answer = self
            .client
            .clone()
            .generate(Request::new(request.clone()))
            .await;
        answer.map_err(|error| match error {
            ClientError::Status(status) => status,
            other => panic!("{other}"),
        })
    }

    pub(crate) async fn generate(&self, request: &Generate) -> Whole {
        read(self.open(request).await.expect("a reply")).await
    }

    /// The same request without speculation.
    pub(crate) async fn plain(&self, request: &Generate) -> Whole {
        let speculation = Speculation::Off;
        let request = request.clone();
        self.generate(&Generate {
            speculation,
            ..request
        })
        .await
    }

    pub(crate) async fn refused(&self, request: &Generate) -> Status {
        match self.open(request).await {
            Ok(_) => panic!("{request:?} was let in"),
            Err(status) => status,
        }
    }

    /// A counter or gauge; 0 where it has labels and has not occurred.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.admin)
            .await
            .expect("the admin port");
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("a response");
        let prefix = format!("duet_verifier_{name} ");
        match text.lines().find_map(|line| line.strip_prefix(&prefix)) {
            Some(value) => value.trim().parse().expect("a number"),
            None if name.ends_with('}') => 0,
            None => panic!("{name} is none of\n{text}"),
        }
    }

    /// Requests in progress.
    pub(crate) async fn sessions(&self) -> u32 {
        let described = self.client.clone().describe(Request::new(())).await;
        described.expect("a description").sessions
    }

    pub(crate) async fn end(mut self) -> Drained {
        self.stop.take();
        self.ended
            .join_next()
            .await
            .expect("one task")
            .expect("no panic")
    }
}

/// Reads a reply to its end.
pub(crate) async fn read(mut reply: Reply) -> Whole {
    let mut chunks = Vec::new();
    loop {
        match reply.next().await.expect("a part").expect("a finish") {
            Part::Reading(_) => {}
            Part::Chunk(chunk) => chunks.push(chunk),
            Part::Finish(finish) => {
                assert!(reply.next().await.expect("an end").is_none());
                let pieces = chunks.iter().flat_map(|chunk: &Chunk| &chunk.pieces);
                let text = pieces.map(|piece| piece.text.as_str()).collect();
                let whole = Whole {
                    text,
                    chunks,
                    finish: *finish,
                };
                whole.check();
                return whole;
            }
        }
    }
}

impl Whole {
    /// Checks properties of every reply.
    fn check(&self) {
        let usage = &self.finish.usage;
        assert_eq!(usage.committed_bytes, self.text.len() as u64);
        assert_eq!(
            usage.proposed_tokens,
            usage.accepted_tokens + usage.rejected_tokens
        );
        assert_eq!(usage.rounds, usage.target_forwards);
        assert!(usage.fallbacks.values().sum::<u32>() <= usage.rounds);
        let pieces = self.chunks.iter().flat_map(|chunk| &chunk.pieces);
        assert!(pieces.clone().all(|piece| !piece.text.is_empty()));
        if usage.proposed_tokens == 0 {
            assert!(pieces.clone().all(|piece| piece.origin == Origin::Plain));
        }
    }
}

/// A request for ASCII: the tiny model's first 256 ids are the bytes, and those above ASCII are
/// ruled out, so that a drafter of a test knows the reply's bytes from its text.
///
/// The block length is fixed, since drafting for the tiny model does not pay.
pub(crate) fn request(temperature: f32, seed: u64) -> Generate {
    Generate {
        logit_bias: (128..256).map(|id| (id, -100.0)).collect(),
        speculation: Speculation::Auto {
            method: None,
            block_tokens: Some(8),
            allow_lossy: false,
            alternatives: None,
        },
        max_tokens: Some(60),
        seed: Some(seed),
        sampling: Sampling {
            temperature,
            top_p: 0.95,
            ..Sampling::default()
        },
        ..Generate::new(Prompt::Text("let the fn = ".to_owned()))
    }
}

/// Temperature 0, and 0.8 with three seeds.
pub(crate) fn requests() -> Vec<Generate> {
    [(0.0, 0), (0.8, 1), (0.8, 2), (0.8, 3)]
        .map(|(temperature, seed)| request(temperature, seed))
        .to_vec()
}

pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

/// Longest wait for a condition, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// Lets other tasks run until `holds`.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let held = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, held).await;
    held.expect("what must come to hold does so in time");
}

pub(crate) type Shared<T> = Arc<std::sync::Mutex<T>>;
