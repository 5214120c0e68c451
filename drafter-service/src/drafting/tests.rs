//! Sessions over streams in memory: the order of messages, and an engine that is busy.

use std::{sync::mpsc as blocking, time::Duration};

use ::tests::tiny::Tiny;
use chassis::lifecycle::Lifecycle;
use inference::engine::{Engine, EngineOptions};
use prometheus_client::registry::Registry;
use proto::{
    BaseHash,
    drafter::{FailureCode, FromDrafter, Open, ToDrafter, Verdict},
    model::{Prompt, Sampling},
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::*;
use crate::{config::Serving, metrics::Metrics, source::Source};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A verifier's end of a session.
struct Verifier {
    outbox: mpsc::Sender<Result<ToDrafter, DraftError>>,
    inbox: mpsc::Receiver<Result<FromDrafter, DraftError>>,
    _tasks: JoinSet<()>,
}

async fn drafter(options: EngineOptions) -> Arc<Drafter> {
    let load = move || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Tiny::default().write_into(folder.path()).expect("a file");
        Engine::load(&path, options).expect("a model")
    };
    let engine = tokio::task::spawn_blocking(load).await.expect("no panic");
    let metrics = Metrics::new(&mut Registry::default());
    let lifecycle = Lifecycle::new(Duration::ZERO);
    Arc::new(Drafter::new(
        Source::Model(engine),
        Serving::new("tiny"),
        metrics,
        lifecycle,
    ))
}

fn engine(drafter: &Drafter) -> &Engine {
    &drafter.source.model().expect("a model").engine
}

fn connect(drafter: &Arc<Drafter>) -> Verifier {
    let (outbox, messages) = mpsc::channel(8);
    let (replies, inbox) = mpsc::channel(8);
    let stream = drafter.stream(Box::pin(ReceiverStream::new(messages)), replies);
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(drafter).converse(stream));
    Verifier {
        outbox,
        inbox,
        _tasks: tasks,
    }
}

fn open() -> ToDrafter {
    ToDrafter::Open(Box::new(Open {
        session_id: "s".to_owned(),
        prompt: Prompt::Text("fn ".to_owned()),
        committed: Vec::new(),
        method: "greedy".to_owned(),
        seed: 0,
        sampling: Sampling::greedy(),
        sharpness: 1.0,
        max_block_tokens: 4,
        max_block_bytes: 64,
        credit: 1,
        expected_fingerprint: None,
        accepts_trees: false,
        first: None,
        drawable: Vec::new(),
    }))
}

/// Nothing is kept of the block, and the whole reply is now `text`.
fn verdict(round: u64, appended: &[u8], text: &[u8]) -> ToDrafter {
    ToDrafter::Verdict(Verdict {
        round,
        kept_bytes: 0,
        appended: appended.to_vec(),
        new_hash: BaseHash::of(text),
        next: None,
    })
}

impl Verifier {
    async fn send(&self, message: ToDrafter) {
        self.outbox
            .send(Ok(message))
            .await
            .expect("the session listens");
    }

    async fn next(&mut self) -> Option<Result<FromDrafter, DraftError>> {
        timeout(PATIENCE, self.inbox.recv())
            .await
            .expect("a message or the end")
    }

    async fn message(&mut self) -> FromDrafter {
        self.next().await.expect("a message").expect("no status")
    }

    /// The status that ends the stream.
    async fn status(&mut self) -> Status {
        loop {
            if let Err(error) = self.next().await.expect("a status") {
                assert!(self.next().await.is_none());
                return error.into();
            }
        }
    }
}

#[tokio::test]
async fn session_that_does_not_begin_with_open_is_refused() {
    let drafter = drafter(EngineOptions::default()).await;
    let mut verifier = connect(&drafter);
    verifier.send(verdict(0, b"", b"")).await;
    let status = verifier.status().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        status.message(),
        "message is another one: it must be open, the first message"
    );
}

#[tokio::test]
async fn session_is_not_opened_twice() {
    let drafter = drafter(EngineOptions::default()).await;
    let mut verifier = connect(&drafter);
    verifier.send(open()).await;
    verifier.send(open()).await;
    let status = verifier.status().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().starts_with("message is open again"),
        "{status}"
    );
}

#[tokio::test]
async fn message_that_cannot_be_decoded_is_told_to_the_verifier() {
    let drafter = drafter(EngineOptions::default()).await;
    let mut verifier = connect(&drafter);
    verifier.send(open()).await;
    let broken = DraftError::Undecodable("not UTF-8".to_owned());
    verifier
        .outbox
        .send(Err(broken))
        .await
        .expect("the session listens");
    let status = verifier.status().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("not UTF-8"), "{status}");
}

#[tokio::test]
async fn full_queue_skips_the_block_and_the_stream_goes_on() {
    let options = EngineOptions {
        queue: 1,
        ..EngineOptions::default()
    };
    let drafter = drafter(options).await;
    // So that there is no room for branches, and a session that waits does nothing else.
    let idle: Vec<_> = (0..6).map(|_| engine(&drafter).open()).collect();
    assert!(idle.iter().all(Result::is_ok));
    let mut verifier = connect(&drafter);
    verifier.send(open()).await;
    assert!(matches!(verifier.message().await, FromDrafter::Opened(_)));
    assert!(matches!(verifier.message().await, FromDrafter::Block(_)));

    // The model's thread is held up in one pass, and another one waits: the queue is full.
    let (gate, opened) = blocking::channel::<()>();
    let (started, starts) = tokio::sync::oneshot::channel();
    let mut passes = JoinSet::new();
    let mut first = engine(&drafter).open().expect("room");
    passes.spawn(async move {
        let wait = move |_: inference::engine::Logits<'_>| {
            started.send(()).expect("the test waits");
            opened.recv().expect("the test releases it");
        };
        first.forward(vec![0], 1, wait).await.expect("a pass");
    });
    starts.await.expect("the pass begins");
    let mut second = engine(&drafter).open().expect("room");
    passes.spawn(async move {
        second.forward(vec![0], 1, |_| ()).await.expect("a pass");
    });
    while engine(&drafter).load_now().queued == 0 {
        tokio::task::yield_now().await;
    }

    verifier.send(verdict(1, b"a", b"a")).await;
    match verifier.message().await {
        FromDrafter::Failure(failure) => assert_eq!(failure.code, FailureCode::Overloaded),
        other => panic!("the block was to be skipped: {other:?}"),
    }
    gate.send(()).expect("the pass waits");
    while passes.join_next().await.is_some() {}
    while engine(&drafter).load_now().queued > 0 {
        tokio::task::yield_now().await;
    }
    verifier.send(verdict(0, b"b", b"ab")).await;
    match verifier.message().await {
        FromDrafter::Block(block) => assert_eq!((block.round, block.base_length), (2, 2)),
        other => panic!("a block was expected: {other:?}"),
    }
}

#[tokio::test]
async fn verifier_that_does_not_read_holds_nothing_once_it_is_gone() {
    let drafter = drafter(EngineOptions::default()).await;
    let verifier = connect(&drafter);
    verifier.send(open()).await;
    drop(verifier.inbox);
    let freed = async {
        while drafter.describe().sessions > 0 || engine(&drafter).load_now().sessions > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, freed)
        .await
        .expect("the session is freed");
}
