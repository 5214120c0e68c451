//! A drafter on a port of the system's choice, and a verifier's end of a session with it.

use std::time::Duration;

use chassis::lifecycle::Drained;
use drafter_service::{app::App, config::Serving, source::Source};
use inference::engine::{Engine, EngineOptions};
use proto::{
    ClientError, CommittedText,
    drafter::{Block, Blocks, Client, DraftSession, Failure, FromDrafter, Open, Verdict, Wish},
    model::{Prompt, Sampling},
};
use tests::tiny::Tiny;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::timeout};
use tonic::Request;

/// Limit of every wait, longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A drafter that serves.
pub(crate) struct Running {
    pub(crate) client: Client,
    pub(crate) address: String,
    pub(crate) admin: String,
    pub(crate) engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinSet<anyhow::Result<Drained>>,
}

/// A session as its verifier sees it.
pub(crate) struct Peer {
    pub(crate) session: DraftSession,
    pub(crate) committed: CommittedText,
}

pub(crate) fn serving() -> Serving {
    Serving::new("tiny")
}

/// Serves a tiny model.
pub(crate) async fn serve(tiny: Tiny, serving: Serving) -> Running {
    serve_source(Source::Model, tiny, serving).await
}

/// Serves what `source` makes of a tiny model.
pub(crate) async fn serve_source(
    source: impl FnOnce(Engine) -> Source<Engine>,
    tiny: Tiny,
    serving: Serving,
) -> Running {
    let options = EngineOptions {
        max_sessions: 16,
        prefix_cache: 1 << 24,
        ..EngineOptions::default()
    };
    let load = move || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = tiny.write_into(folder.path()).expect("a file");
        Engine::load(&path, options).expect("a model")
    };
    let engine = tokio::task::spawn_blocking(load).await.expect("no panic");
    let (listener, address) = listen().await;
    let (admin_listener, admin) = listen().await;
    let app = App::with_source(source(engine.clone()), serving).await;
    let app = app.with_admin(admin_listener);
    let (stop, stopped) = oneshot::channel();
    let mut ended = JoinSet::new();
    ended.spawn(app.serve(listener, async { drop(stopped.await) }));
    Running {
        client: client(&address),
        address,
        admin,
        engine,
        stop: Some(stop),
        ended,
    }
}

/// The default model with the default limits.
pub(crate) async fn serve_default() -> Running {
    serve(Tiny::default(), serving()).await
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

fn client(address: &str) -> Client {
    let channel = chassis::channel::lazy(&format!("http://{address}")).expect("an address");
    Client::new(channel)
}

/// A greedy session of 6 tokens a block, one block at a time.
pub(crate) fn open() -> Open {
    Open {
        session_id: "s".to_owned(),
        prompt: Prompt::Text("fn ".to_owned()),
        committed: Vec::new(),
        method: "greedy".to_owned(),
        seed: 7,
        sampling: Sampling::greedy(),
        sharpness: 1.0,
        max_block_tokens: 6,
        max_block_bytes: 256,
        credit: 1,
        expected_fingerprint: None,
        accepts_trees: false,
        first: None,
        drawable: Vec::new(),
    }
}

impl Running {
    /// Opens a session that has to succeed.
    pub(crate) async fn open(&self, open: Open) -> Peer {
        self.try_open(open).await.expect("an open session")
    }

    /// Opens a session.
    pub(crate) async fn try_open(&self, open: Open) -> Result<Peer, ClientError> {
        let committed = CommittedText::resumed(&open.committed).expect("short enough");
        let opened = self.client.clone().draft(Request::new(open)).await;
        opened.map(|session| Peer { session, committed })
    }

    /// A client with a connection of its own.
    pub(crate) fn newcomer(&self) -> Client {
        client(&self.address)
    }

    /// Tells the drafter to stop.
    pub(crate) fn stop(&mut self) {
        let stop = self.stop.take().expect("not stopped before");
        stop.send(()).expect("still serving");
    }

    /// Waits for the end of serving.
    pub(crate) async fn end(&mut self) -> Drained {
        let ended = timeout(PATIENCE, self.ended.join_next()).await;
        let ended = ended.expect("an end").expect("one task");
        ended.expect("no panic").expect("no failure")
    }

    /// Waits until no session is open, and nothing of any is left in the engine.
    pub(crate) async fn until_empty(&self) {
        self.until_none_is_open().await;
        assert_eq!(self.engine.load_now().sessions, 0);
    }

    /// Waits until no session is open, by asking.
    pub(crate) async fn until_none_is_open(&self) {
        let empty = async {
            loop {
                let described = self.client.clone().describe(Request::new(())).await;
                if described.expect("an answer").sessions == 0 {
                    return;
                }
            }
        };
        timeout(PATIENCE, empty).await.expect("every session freed");
    }
}

/// The next message of a stream.
pub(crate) async fn next(blocks: &mut Blocks) -> Result<Option<FromDrafter>, ClientError> {
    let next = timeout(PATIENCE, blocks.next()).await;
    next.expect("a message or the end")
}

impl Peer {
    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<Option<FromDrafter>, ClientError> {
        next(&mut self.session.blocks).await
    }

    /// The next block.
    pub(crate) async fn block(&mut self) -> Block {
        match self.next().await {
            Ok(Some(FromDrafter::Block(block))) => block,
            other => panic!("a block was expected: {other:?}"),
        }
    }

    /// The failure that ends the stream.
    pub(crate) async fn last_failure(&mut self) -> Failure {
        let failure = loop {
            match self.next().await {
                Ok(Some(FromDrafter::Block(_))) => {}
                Ok(Some(FromDrafter::Failure(failure))) => break failure,
                other => panic!("a failure was expected: {other:?}"),
            }
        };
        assert!(
            matches!(self.next().await, Ok(None)),
            "the stream ends with OK"
        );
        failure
    }

    /// The status that ends the stream.
    pub(crate) async fn status(&mut self) -> tonic::Status {
        match self.next().await {
            Err(ClientError::Status(status)) => status,
            other => panic!("a status was expected: {other:?}"),
        }
    }

    /// Commits `kept` bytes of `block` and `appended`, and asks for 6 tokens.
    pub(crate) fn settle(&mut self, block: &Block, kept: usize, appended: &[u8]) {
        let verdict = self.verdict(block, kept, appended);
        self.send(verdict);
    }

    /// The verdict that [`Peer::settle`] sends; the committed text goes along with it.
    pub(crate) fn verdict(&mut self, block: &Block, kept: usize, appended: &[u8]) -> Verdict {
        self.committed
            .append(&block.text[..kept])
            .expect("short enough");
        self.committed.append(appended).expect("short enough");
        Verdict {
            round: block.round,
            kept_bytes: kept as u32,
            appended: appended.to_vec(),
            new_hash: self.committed.hash(),
            next: Some(Wish::chain(6)),
        }
    }

    /// A verdict that answers no block.
    pub(crate) fn unanswering(&mut self, appended: &[u8]) -> Verdict {
        self.committed.append(appended).expect("short enough");
        Verdict {
            round: 0,
            kept_bytes: 0,
            appended: appended.to_vec(),
            new_hash: self.committed.hash(),
            next: Some(Wish::chain(6)),
        }
    }

    /// Sends a verdict.
    pub(crate) fn send(&self, verdict: Verdict) {
        self.session
            .verdicts
            .verdict(verdict)
            .expect("room to send");
    }
}
