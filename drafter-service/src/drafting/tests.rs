//! Sessions over streams in memory: the order of messages, an engine that is busy, and time, which is simulated.

mod branches;

use std::{
    pin::Pin,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc as blocking,
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use ::tests::tiny::Tiny;
use chassis::lifecycle::Lifecycle;
use inference::engine::{Engine, EngineOptions};
use prometheus_client::registry::Registry;
use proto::{
    BaseHash,
    drafter::{CloseReason, FailureCode, FromDrafter, Open, ToDrafter, Verdict},
    model::{Prompt, Sampling},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Code, Status};

use super::*;
use crate::{config::Serving, metrics::Metrics, source::Source};

/// Limit of every wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A verifier's end of a session.
struct Verifier {
    outbox: mpsc::Sender<Result<ToDrafter, DraftError>>,
    inbox: mpsc::Receiver<Result<FromDrafter, DraftError>>,
    /// True while the session does nothing but wait for a message.
    is_idle: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

/// Messages to a session, which record whether it waits for one.
struct Observed {
    messages: ReceiverStream<Result<ToDrafter, DraftError>>,
    is_idle: Arc<AtomicBool>,
}

impl Stream for Observed {
    type Item = Result<ToDrafter, DraftError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.messages).poll_next(context);
        // A session that only looks for a message brings no waker.
        let waits = polled.is_pending() && !context.waker().will_wake(Waker::noop());
        self.is_idle.store(waits, Ordering::Release);
        polled
    }
}

async fn drafter(options: EngineOptions) -> Arc<Drafter> {
    let load = move || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Tiny::default().write_into(folder.path()).expect("a file");
        Engine::load(&path, options).expect("a model")
    };
    let engine = tokio::task::spawn_blocking(load).await.expect("no panic");
    over(Source::Model(engine), Serving::new("tiny"))
}

fn over(source: Source<Engine>, serving: Serving) -> Arc<Drafter> {
    let metrics = Metrics::new(&mut Registry::default());
    let lifecycle = Lifecycle::new(Duration::ZERO);
    Arc::new(Drafter::new(source, serving, metrics, lifecycle))
}

fn engine(drafter: &Drafter) -> &Engine {
    &drafter.source.model().expect("a model").engine
}

fn connect(drafter: &Arc<Drafter>) -> Verifier {
    let (outbox, messages) = mpsc::channel(8);
    let (replies, inbox) = mpsc::channel(8);
    let is_idle = Arc::new(AtomicBool::new(false));
    let messages = Observed {
        messages: ReceiverStream::new(messages),
        is_idle: Arc::clone(&is_idle),
    };
    let stream = drafter.stream(Box::pin(messages), replies);
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(drafter).converse(stream));
    Verifier {
        outbox,
        inbox,
        is_idle,
        _tasks: tasks,
    }
}

fn open() -> ToDrafter {
    ToDrafter::Open(Box::new(terms()))
}

fn terms() -> Open {
    Open {
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
    }
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

/// Waits until `holds`, by asking.
async fn until(holds: impl Fn() -> bool) {
    let asking = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asking).await.expect("it comes to hold");
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
async fn message_that_cannot_be_decoded_ends_the_stream_with_a_status_that_says_so() {
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

/// Drafter without a model, whose sessions may be silent for half a minute and last an hour.
fn lookup() -> Arc<Drafter> {
    let serving = Serving {
        idle_timeout: Duration::from_secs(30),
        session_age: Duration::from_hours(1),
        ..Serving::new("ngram")
    };
    over(Source::Lookup, serving)
}

/// The failure that ends a stream which is to be open elsewhere, and the time until then.
async fn stopped(verifier: &mut Verifier, began: Instant) -> (String, Duration) {
    loop {
        match verifier.inbox.recv().await {
            Some(Ok(FromDrafter::Failure(failure))) => {
                assert_eq!(failure.code, FailureCode::Stopping);
                assert!(verifier.inbox.recv().await.is_none());
                return (failure.text, began.elapsed());
            }
            Some(Ok(_)) => {}
            other => panic!("a failure was expected: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn session_without_a_first_message_ends_in_time() {
    let drafter = lookup();
    let (began, mut verifier) = (Instant::now(), connect(&drafter));
    let status = verifier.status().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "no message came for 10s");
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn silent_session_ends_and_may_be_opened_elsewhere() {
    let drafter = lookup();
    let mut verifier = connect(&drafter);
    verifier.send(open()).await;
    let (text, took) = stopped(&mut verifier, Instant::now()).await;
    assert_eq!(text, "no message came for 30s");
    assert_eq!(took.as_secs(), 30);
    assert_eq!(drafter.describe().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn old_session_ends_though_it_is_busy_and_may_be_opened_elsewhere() {
    let drafter = lookup();
    let (began, mut verifier) = (Instant::now(), connect(&drafter));
    verifier.send(open()).await;
    let outbox = verifier.outbox.clone();
    let mut talking = JoinSet::new();
    talking.spawn(async move {
        let mut text = Vec::new();
        loop {
            text.push(b'x');
            if outbox.send(Ok(verdict(0, b"x", &text))).await.is_err() {
                return;
            }
            sleep(Duration::from_secs(20)).await;
        }
    });
    let (text, took) = stopped(&mut verifier, began).await;
    assert_eq!(
        text,
        "a session may last 1h: open another one, here or elsewhere"
    );
    assert_eq!(took.as_secs(), 60 * 60);
    assert_eq!(drafter.describe().sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn messages_after_a_burst_are_taken_at_the_rate_that_is_served() {
    let serving = Serving {
        verdict_rate: 10,
        ..Serving::new("ngram")
    };
    let drafter = over(Source::Lookup, serving);
    let (began, mut verifier) = (Instant::now(), connect(&drafter));
    verifier.send(open()).await;
    let mut text = Vec::new();
    // The first 32 messages are a burst, `Open` among them; 20 more come at ten a second.
    for _ in 0..51 {
        text.push(b'x');
        verifier.send(verdict(0, b"x", &text)).await;
    }
    verifier.send(ToDrafter::Close(CloseReason::Finished)).await;
    while verifier.inbox.recv().await.is_some() {}
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert!(took < Duration::from_millis(2300), "{took:?}");
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
    until(|| engine(&drafter).load_now().queued > 0).await;

    verifier.send(verdict(1, b"a", b"a")).await;
    match verifier.message().await {
        FromDrafter::Failure(failure) => assert_eq!(failure.code, FailureCode::Overloaded),
        other => panic!("the block was to be skipped: {other:?}"),
    }
    gate.send(()).expect("the pass waits");
    while passes.join_next().await.is_some() {}
    until(|| engine(&drafter).load_now().queued == 0).await;
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
    until(|| drafter.describe().sessions == 0 && engine(&drafter).load_now().sessions == 0).await;
}
